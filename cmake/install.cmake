# The shared library, and `cmake --install`: libraries, program, public headers, CMake package and pkg-config file.

# Public headers: what users and writers of backends, ops and models include. Not among them: the inside of the CPU
# kernels, of the tokenizers, of the families, and what needs another library's headers.
file(GLOB MICA_PUBLIC_HEADERS RELATIVE ${PROJECT_SOURCE_DIR} CONFIGURE_DEPENDS
     mica.h base/*.h kernels/*.h tensor/*.h autograd/*.h models/*.h models/modules/*.h models/architectures/*.h
     models/heads/*.h models/auto/*.h models/generation/*.h models/processors/*.h models/pipelines/*.h training/*.h)
list(APPEND MICA_PUBLIC_HEADERS models/generation/constraints/constraints.h tokenizers/batch_encoding.h
     tokenizers/chat/chat_template.h tokenizers/decode_stream.h tokenizers/options.h tokenizers/tokenizer.h
     tokenizers/trainers/text_source.h tokenizers/trainers/training.h training/collators/collator.h
     training/collators/language_modeling.h training/collators/multiple_choice.h training/collators/padding.h
     training/collators/sentences.h training/collators/seq2seq.h training/collators/token_classification.h
     training/dataset/dataset.h training/dataset/example.h training/dataset/features.h training/dataset/group_texts.h
     training/dataset/reader_options.h training/dataset/value.h
     training/distributed/communicator.h training/distributed/device_group.h training/distributed/launched_group.h
     training/losses/sentence.h training/metrics/bleu.h training/metrics/chrf.h training/metrics/classification.h
     training/metrics/correlation.h training/metrics/entities.h training/metrics/error_rate.h
     training/metrics/retrieval.h training/metrics/rouge.h training/metrics/squad.h training/metrics/threshold.h
     training/optimizers/adafactor.h training/optimizers/adamw.h training/optimizers/lion.h
     training/optimizers/optimizer.h training/optimizers/sgd.h training/reports/reports.h training/tasks/recipe.h)
list(REMOVE_ITEM MICA_PUBLIC_HEADERS models/auto/adapter_parts.h models/auto/lora_targets.h models/auto/virtual_inputs.h training/recorded_training.h training/trainer_impl.h base/json.h models/generation/beam_item.h models/generation/choice.h
     models/generation/decoding.h models/generation/draft.h models/generation/draws.h models/generation/scores.h
     models/generation/stopping.h models/heads/parts.h models/pipelines/json_writer.h
     models/pipelines/sentence_modules.h tensor/mapped_tensors.h)

if(MICA_BUILD_SHARED)
  add_custom_command(
    OUTPUT ${PROJECT_BINARY_DIR}/mica.map
    COMMAND ${PROJECT_SOURCE_DIR}/cmake/exported_symbols.sh ${CMAKE_NM} $<TARGET_FILE:mica_static>
            ${PROJECT_BINARY_DIR}/mica.map ${MICA_PUBLIC_HEADERS}
    DEPENDS mica_static cmake/exported_symbols.sh ${MICA_PUBLIC_HEADERS}
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
    COMMENT "Listing the public symbols" VERBATIM)
  add_library(mica_shared SHARED $<TARGET_OBJECTS:mica_objects> ${PROJECT_BINARY_DIR}/mica.map)
  set_target_properties(mica_shared PROPERTIES OUTPUT_NAME mica LINKER_LANGUAGE CXX VERSION ${PROJECT_VERSION}
                                               SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
  set_property(TARGET mica_shared APPEND PROPERTY LINK_DEPENDS ${PROJECT_BINARY_DIR}/mica.map)
  target_link_options(mica_shared PRIVATE -Wl,--version-script=${PROJECT_BINARY_DIR}/mica.map -Wl,--no-undefined)
  target_link_libraries(mica_shared PRIVATE ${MICA_LINK_LIBRARIES})
endif()

add_library(mica::mica ALIAS mica_static)  # for those who add this project as a subdirectory

if(NOT MICA_INSTALL)
  return()
endif()

include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/mica)

foreach(kind static shared)
  if(TARGET mica_${kind})
    target_include_directories(mica_${kind} INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    target_compile_features(mica_${kind} INTERFACE cxx_std_20)
    set_target_properties(mica_${kind} PROPERTIES EXPORT_NAME ${kind})
    install(TARGETS mica_${kind} EXPORT mica_${kind} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
            LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
    install(EXPORT mica_${kind} NAMESPACE mica:: FILE mica-${kind}.cmake DESTINATION ${package_dir})
  endif()
endforeach()
if(TARGET mica)
  install(TARGETS mica RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
if(TARGET mica_mpi)
  install(TARGETS mica_mpi LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()

foreach(header ${MICA_PUBLIC_HEADERS})
  get_filename_component(folder ${header} DIRECTORY)
  install(FILES ${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/mica/${folder})
endforeach()

configure_package_config_file(cmake/mica-config.cmake.in ${PROJECT_BINARY_DIR}/mica-config.cmake
                              INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/mica-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/mica-config.cmake ${PROJECT_BINARY_DIR}/mica-config-version.cmake
        DESTINATION ${package_dir})

# pkg-config: paths are told from where mica.pc lies, so that the whole tree may be moved.
file(RELATIVE_PATH MICA_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
set(MICA_PC_PRIVATE -pthread ${HWY_LDFLAGS} ${UTF8PROC_LDFLAGS} ${PCRE2_LDFLAGS} -lz -ldl)
list(JOIN MICA_PC_PRIVATE " " MICA_PC_PRIVATE)
configure_file(cmake/mica.pc.in ${PROJECT_BINARY_DIR}/mica.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/mica.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

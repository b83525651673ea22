# The CUDA kernels. Their sources compile twice: with nvcc for GPUs (MICA_CUDA), and with the host compiler for
# emulation (kernels/cuda/emulate), which the tests use on machines without a GPU.
file(GLOB MICA_CUDA_SOURCES CONFIGURE_DEPENDS kernels/cuda/*.cu)
file(GLOB MICA_CUDA_HOST_SOURCES CONFIGURE_DEPENDS kernels/cuda/*.cpp)

if(MICA_EMULATE)
  find_package(Boost 1.70 REQUIRED COMPONENTS context)
  file(GLOB MICA_EMULATE_SOURCES CONFIGURE_DEPENDS kernels/cuda/emulate/*.cpp)
  set(emulated ${MICA_CUDA_SOURCES})
  list(FILTER emulated EXCLUDE REGEX "/(runtime|libraries)\\.cu$")  # these speak to the driver
  set_source_files_properties(${emulated} PROPERTIES LANGUAGE CXX)
  add_library(mica_emulated OBJECT ${emulated} ${MICA_CUDA_HOST_SOURCES} ${MICA_EMULATE_SOURCES})
  target_compile_definitions(mica_emulated PRIVATE MICA_EMULATED=1)
  target_include_directories(mica_emulated PRIVATE ${Boost_INCLUDE_DIRS})
  target_link_libraries(mica_emulated PRIVATE mica_settings)
  target_compile_options(mica_emulated PRIVATE -Wno-unknown-pragmas)  # "#pragma unroll"
endif()

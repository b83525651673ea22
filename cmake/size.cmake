# What runs once a file, once a call or once a layer is compiled for size: at -O3 two thirds of the program were strings and
# maps, inlined. What walks over elements, tokens or characters stays fast.
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
  file(GLOB_RECURSE MICA_SMALL_SOURCES CONFIGURE_DEPENDS cli/*.cpp models/*.cpp training/*.cpp tokenizers/chat/*.cpp
       tokenizers/readers/*.cpp tensor/torch/*.cpp tensor/safetensors*.cpp autograd/*.cpp
       tokenizers/trainers/train_*.cpp)
  list(FILTER MICA_SMALL_SOURCES EXCLUDE REGEX "/training/(optimizers|collators|distributed/mpi)/")
  list(FILTER MICA_SMALL_SOURCES EXCLUDE REGEX "/readers/(bulk_scanner|byte_ranks|merges_txt|sentencepiece_model|tiktoken|tokenizer_image|tokenizer_json|vocab_txt)\\.cpp$")
  list(FILTER MICA_SMALL_SOURCES EXCLUDE REGEX "/generation/(choice|draws|greedy|processor_lists|repetition|sampling_cuts|scores|token_bias|typical_cuts)\\.cpp$")
  list(FILTER MICA_SMALL_SOURCES EXCLUDE REGEX "/autograd/(adjacent|tape)\\.cpp$")
  list(FILTER MICA_SMALL_SOURCES EXCLUDE REGEX "/constraints/(automata|code_points|matcher|nfa|stacks|token_masks|token_trie|vocabulary)\\.cpp$")
  set_source_files_properties(${MICA_SMALL_SOURCES} PROPERTIES COMPILE_OPTIONS -Os)
endif()

# The CUDA kernels. Their sources compile twice: with nvcc for GPUs (MICA_CUDA), and with the host compiler for
# emulation (kernels/cuda/emulate), which the tests use on machines without a GPU. A build has one of the two.
file(GLOB MICA_CUDA_SOURCES CONFIGURE_DEPENDS kernels/cuda/*.cu)

# The runtime is linked statically and looks for the driver when it is first called, so that one program serves machines
# with and without a GPU. cuBLASLt and NCCL are opened at run time.
if(MICA_CUDA)
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90a-real 120)
  endif()
  enable_language(CUDA)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake before 3.26 does not know that nvcc has it
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  endif()
  find_package(CUDAToolkit 12.0 REQUIRED)
  add_library(mica_cuda OBJECT ${MICA_CUDA_SOURCES})
  set_target_properties(mica_cuda PROPERTIES CUDA_STANDARD 20 CUDA_EXTENSIONS OFF POSITION_INDEPENDENT_CODE ON CUDA_RUNTIME_LIBRARY Static)
  target_include_directories(mica_cuda PRIVATE ${PROJECT_BINARY_DIR}/include)
  target_compile_options(mica_cuda PRIVATE --expt-relaxed-constexpr -Xptxas=-v -Xcompiler=-Wall,-Wextra,-Wshadow
                                           $<$<BOOL:${MICA_WERROR}>:-Werror=all-warnings>)
  if("${CMAKE_CUDA_ARCHITECTURES}" MATCHES "90a")  # without it, Hopper's GPUs run what those before them do
    target_compile_definitions(mica_cuda PRIVATE MICA_SM90A=1)
  endif()
  set_source_files_properties(kernels/backend.cpp PROPERTIES COMPILE_DEFINITIONS MICA_WITH_CUDA=1)
  target_sources(mica_static PRIVATE $<TARGET_OBJECTS:mica_cuda>)
  target_link_libraries(mica_static PRIVATE CUDA::cudart_static)
  list(APPEND MICA_LINK_LIBRARIES CUDA::cudart_static)
elseif(MICA_EMULATE AND NOT MICA_SANITIZE MATCHES thread)  # which does not know fibers; one thread runs them all
  find_package(Boost 1.70 REQUIRED COMPONENTS context)
  file(GLOB MICA_EMULATE_SOURCES CONFIGURE_DEPENDS kernels/cuda/emulate/*.cpp)
  set(emulated ${MICA_CUDA_SOURCES})
  list(FILTER emulated EXCLUDE REGEX "/(runtime|libraries|nccl)\\.cu$")  # these speak to the driver
  set_source_files_properties(${emulated} PROPERTIES LANGUAGE CXX)
  add_library(mica_emulated OBJECT ${emulated} ${MICA_EMULATE_SOURCES})
  target_compile_definitions(mica_emulated PRIVATE MICA_EMULATED=1)
  target_include_directories(mica_emulated PRIVATE ${Boost_INCLUDE_DIRS})
  target_link_libraries(mica_emulated PRIVATE mica_settings)
  # "#pragma unroll"; what GCC 4.6 changed for arguments of more than 16-byte alignment (tensor maps).
  target_compile_options(mica_emulated PRIVATE -Wno-unknown-pragmas -Wno-psabi)
  # The scheduler of threads takes most of an emulated kernel's time.
  set_source_files_properties(kernels/cuda/emulate/machine.cpp kernels/cuda/emulate/fiber.cpp PROPERTIES COMPILE_OPTIONS -O2)
endif()

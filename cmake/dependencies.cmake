# What the library needs, found once. All of these are Debian packages; ./dev installs them.
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(Eigen3 REQUIRED NO_MODULE)
find_package(nlohmann_json REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(ZLIB REQUIRED)
pkg_check_modules(HWY REQUIRED IMPORTED_TARGET libhwy)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)

# Linked by libmica_mpi.so alone. A program under a sanitizer can do without it.
set(MICA_MPI_FOUND OFF)
if(MICA_WITH_MPI AND NOT MICA_SANITIZE)
  set(MPI_CXX_SKIP_MPICXX ON)
  find_package(MPI QUIET COMPONENTS CXX)
  set(MICA_MPI_FOUND ${MPI_CXX_FOUND})
endif()

set(MICA_LINK_LIBRARIES Threads::Threads PkgConfig::HWY PkgConfig::UTF8PROC PkgConfig::PCRE2 ZLIB::ZLIB ${CMAKE_DL_LIBS})
set(MICA_PRIVATE_LIBRARIES ${MICA_LINK_LIBRARIES} Eigen3::Eigen nlohmann_json::nlohmann_json)

# What `mica info` reports.
string(JOIN ", " MICA_BUILT_WITH "${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}" "Eigen ${Eigen3_VERSION}"
       "Highway ${HWY_VERSION}" "utf8proc ${UTF8PROC_VERSION}" "PCRE2 ${PCRE2_VERSION}" "zlib ${ZLIB_VERSION}"
       "nlohmann_json ${nlohmann_json_VERSION}")
if(MICA_MPI_FOUND)
  string(APPEND MICA_BUILT_WITH ", MPI ${MPI_CXX_VERSION}")
endif()

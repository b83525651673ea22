// Opening NCCL where it is not, and where something else has its name.

#include <string>

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/kernels/cuda/nccl.h"

namespace mica::cuda {
namespace {

std::string told(std::span<const char* const> names) {
  try {
    load_nccl(names);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(NcclLibrary, AbsentIsAnErrorThatNamesItAndTheWayToMendIt) {
  const char* const names[] = {"libnccl-of-nobody.so.2", "libnccl-of-nobody.so.3"};
  const std::string error = told(names);
  EXPECT_NE(error.find("no libnccl.so.2: libnccl-of-nobody.so.2"), std::string::npos) << error;
  EXPECT_NE(error.find("libnccl2"), std::string::npos) << error;
}

TEST(NcclLibrary, AnotherLibraryIsAnErrorThatNamesWhatItLacks) {
  const char* const names[] = {"libnccl-of-nobody.so.2", "libm.so.6"};
  EXPECT_NE(told(names).find("lacks ncclGetUniqueId"), std::string::npos) << told(names);
}

}  // namespace
}  // namespace mica::cuda

// Files that only look like torch's: each is refused, for the reason given.

#include <gtest/gtest.h>

#include "mica/base/error.h"
#include "mica/tensor/torch_file.h"
#include "mica/tests/support/torch_bytes.h"
#include "mica/tests/tensor/safetensors_files.h"

namespace mica {
namespace {

using namespace torch_bytes;
using namespace std::string_literals;

struct Hostile {
  const char* what;
  std::string file;
  const char* problem;  // a part of the error's
};

void expect_refused(const std::vector<Hostile>& cases) {
  for (const auto& [what, file, problem] : cases) {
    SCOPED_TRACE(what);
    try {
      TorchFile::from_bytes(bytes_of(file), "file.bin");
      ADD_FAILURE() << "was accepted";
    } catch (const Error& error) {
      EXPECT_NE(error.problem().find(problem), std::string::npos) << error.what();
      EXPECT_EQ(error.where().find("file.bin"), 0U) << error.what();
      EXPECT_FALSE(error.mend().empty()) << error.what();
    }
  }
}

const std::string kOne = little(1.F);
const std::string kTensor = tensor(storage("0", 1), 0, {1}, {1});

// An archive with one storage of one float, whose pickle is of this value.
std::string of(const std::string& value) {
  return archive(pickle(value), {kOne});
}
std::string of_tensor(const std::string& value) {
  return of(dict(text("w") + value));
}

TEST(TorchHostile, StartsFromAGoodFile) {
  EXPECT_EQ(TorchFile::from_bytes(bytes_of(of_tensor(kTensor)), "file.bin").tensor("w").item<float>(), 1);
}

TEST(TorchHostile, CallsNothing) {
  const std::string command = "(" + text("echo gotcha") + "tR";
  expect_refused({
      {"os.system", of(global("os", "system") + command), "global os.system has no place among weights at byte 2"},
      {"posix.system", of(global("posix", "system") + command), "global posix.system"},
      {"eval", of(global("builtins", "eval") + command), "global builtins.eval"},
      {"by STACK_GLOBAL", of(text("os") + text("system") + "\x93" + command), "global os.system"},
      {"STACK_GLOBAL of numbers", of("K\x01K\x01\x93"), "name of a global is no text"},
      {"inside a tensor's arguments", of_tensor(replaced(kTensor, ")R", global("os", "abort") + ")RR")),
       "global os.abort"},
      {"in an extra entry", of(dict(text("w") + kTensor + text("x") + global("numpy", "load"))), "global numpy.load"},
      {"torch's own loader", of(global("torch.storage", "_load_from_bytes") + command), "_load_from_bytes"},
      {"another module's name", of(global("torch._utils", "OrderedDict") + ")R"), "global torch._utils.OrderedDict"},
      {"name with a dot", of(text("collections") + text("OrderedDict.__init__") + "\x93"), "OrderedDict.__init__"},
      {"name without an end", of("ctorch" + std::string(2000, 'x')), "name of a global without an end"},
      {"name with line feeds cut",
       archive("\x80\x02"
               "ctorch\nSize"),
       "name of a global without an end"},
      {"call of a dtype", of(global("torch", "float32") + ")R"), "torch.float32, which is no function"},
      {"call of a storage", of(global("torch", "FloatStorage") + ")R"), "which is no function"},
      {"call of a number", of("K\x01)R"), "call of something that is no global"},
      {"call of a tensor", of(kTensor + ")R"), "call of something that is no global"},
      {"call without a tuple", of(global("collections", "OrderedDict") + "K\x01R"), "without a tuple of arguments"},
      {"INST", of("(ios\nsystem\n"), "opcode INST (0x69)"},
      {"OBJ", of("(" + global("torch", "Size") + "o"), "opcode OBJ (0x6f)"},
      {"NEWOBJ", of(global("torch", "Size") + ")\x81"), "opcode NEWOBJ (0x81)"},
      {"EXT1", of("\x82\x01"), "opcode EXT1 (0x82)"},
      {"PERSID", of("Pstorage\n"), "opcode PERSID (0x50)"},
      {"no opcode", of(std::string("\0", 1)), "opcode 0x00"},
      {"BUILD of a tensor", of(kTensor + "}b"), "attributes are set on something that is no dict"},
      {"BUILD of a global", of(global("torch", "Size") + "}b"), "attributes are set on something that is no dict"},
  });
}

TEST(TorchHostile, PicklesStayInBounds) {
  const std::string huge = little(uint32_t{0xfffffff0});
  expect_refused({
      {"empty", archive(""), "pickle is cut short at byte 0"},
      {"no STOP", archive("\x80\x02}"), "pickle is cut short"},
      {"unknown protocol", of("\x80\x09}"), "unknown protocol"},
      {"text beyond the end", of("X" + huge), "pickle is cut short"},
      {"text of 2^63 bytes", of("\x8d" + little(uint64_t{1} << 63)), "pickle is cut short"},
      {"text of 2^64 - 1 bytes", of("\x8d" + little(~uint64_t{0})), "pickle is cut short"},
      {"bytes beyond the end", of("B" + huge), "pickle is cut short"},
      {"long number beyond the end", of("\x8a\xff"), "pickle is cut short"},
      {"frame beyond the end", of("\x95" + little(~uint64_t{0})), "frame reaches beyond the pickle"},
      {"number beyond the end", archive("J\x01"), "pickle is cut short"},
      {"huge memo number", of("}r" + huge), "memo number 4294967280 out of turn"},
      {"memo never set", of("h\x05"), "memo number 5 was never set"},
      {"memo of a hole", of("}q\x01h\0"s), "memo number 0 was never set"},
      {"memo of nothing", of("q\0"s), "takes a value that is not there"},
      {"pop of nothing", of("\x85"), "takes a value that is not there"},
      {"pop below a mark", of("K\x01K\x02(\x86"), "takes a value that is not there"},
      {"no mark", of("t"), "lacks a mark"},
      {"mark left over", of("}("), "more or less than one value"},
      {"nothing", of(""), "more or less than one value"},
      {"two values", of("}}"), "more or less than one value"},
      {"key without a value", of("}(K\x01u"), "key without a value"},
      {"items of a number", of("K\x01(K\x01K\x01u"), "something that is no dict"},
      {"items for a tuple",
       of(")(K\x01"
          "e"),
       "something that is no list"},
      {"item of a dict",
       of("}K\x01"
          "a"),
       "something that is no list"},
      {"marks without end", of(std::string(100'000, '(')), "nested more than 1000 levels"},
      {"stack without end", of(std::string((1 << 20) + 1, 'N')), "stacks more than"},
      {"values without end", of("}" + std::string(1 << 22, '\x85')), "more than 4194304 values"},
      {"pickle of more than 64 MiB", archive(pickle("X" + little(uint32_t{1U << 26}) + std::string(1U << 26, 'x'))),
       "pickle of more than 64 MiB"},
  });
}

// Containers that hold themselves are plain data; nothing follows them.
TEST(TorchHostile, ContainersMayHoldThemselves) {
  const std::string itself = "}q\0"s + text("self") + "h\0s"s;
  const std::string list = "]q\1h\1a";
  const auto file = TorchFile::from_bytes(
      bytes_of(of("}q\0(h\0h\0"s + text("w") + kTensor + text("self") + "h\0"s + text("list") + list + "u")),
      "file.bin");
  EXPECT_EQ(file.entries().size(), 1U);
  expect_refused({{"only itself", of(itself), "holds no tensors"}});
}

TEST(TorchHostile, TensorsStayInTheirStorage) {
  constexpr int64_t kHuge = int64_t{1} << 62;
  const auto made = [](int64_t offset, const std::vector<int64_t>& shape, const std::vector<int64_t>& strides) {
    return of_tensor(tensor(storage("0", 1), offset, shape, strides));
  };
  expect_refused({
      {"too large", made(0, {2}, {1}), "reaches to byte 8 of a storage of 4 bytes"},
      {"offset", made(1, {1}, {1}), "reaches to byte 8 of a storage of 4 bytes"},
      {"huge offset", made(kHuge, {1}, {1}), "size overflows"},
      {"largest offset", made(INT64_MAX, {1}, {1}), "size overflows"},
      {"negative offset", made(-1, {1}, {1}), "offset of the tensor is no size"},
      {"stride", made(0, {2}, {kHuge}), "size overflows"},
      {"strides that wrap", made(0, {3, 3}, {kHuge, kHuge}), "size overflows"},
      {"negative stride", made(0, {1}, {-1}), "stride of the tensor is no size"},
      {"negative dimension", made(0, {-1}, {1}), "dimension of the tensor is no size"},
      {"shape that wraps", made(0, {int64_t{1} << 32, int64_t{1} << 32}, {0, 0}), "size overflows"},
      {"shape that wraps, but is empty", made(0, {kHuge, kHuge, 0}, {0, 0, 0}), "size overflows"},
      {"repeated without bound", made(0, {int64_t{1} << 40}, {0}), "is larger than its file"},
      {"strides missing", made(0, {1}, {}), "shape and strides differ in length"},
      {"nine dimensions", made(0, std::vector<int64_t>(9, 1), std::vector<int64_t>(9, 1)), "tensor of 9 dimensions"},
      {"no storage", of_tensor(replaced(kTensor, "Q", "")), "tensor without a storage"},
      {"shape is no tuple", of_tensor(replaced(kTensor, integers({1}), "K\x01")), "shape or strides are no tuple"},
      {"few arguments", of_tensor(global("torch._utils", "_rebuild_tensor_v2") + ")R"), "is called with 0 arguments"},
      {"another storage's type",
       of_tensor(
           global("torch._utils", "_rebuild_tensor_v3") +
           tuple(storage("0", 1) + integer(0) + integers({1}) + integers({1}) + "\x89}" + global("torch", "int32")) +
           "R"),
       "whose storage has another type"},
      {"no dtype",
       of_tensor(global("torch._utils", "_rebuild_tensor_v3") +
                 tuple(storage("0", 1) + integer(0) + integers({1}) + integers({1}) + "\x89}N") + "R"),
       "dtype is none"},
      {"untyped storage without a dtype", of_tensor(tensor(storage("0", 4, "UntypedStorage"), 0, {1}, {1})),
       "whose storage has another type"},
      {"conjugated", of_tensor(replaced(kTensor, ")RtR", ")R" + dict(text("conj") + "\x88") + "tR")),
       "tensor with metadata"},
      {"parameter of a number", of_tensor(global("torch._utils", "_rebuild_parameter") + "K\x01\x88}\x87R"),
       "parameter without a tensor"},
  });
}

TEST(TorchHostile, StoragesAreWhatThePickleSays) {
  const auto made = [](const std::string& id) { return of_tensor(tensor(id, 0, {1}, {1})); };
  const std::string view = tuple(text("v") + integer(1) + integer(1));
  expect_refused({
      {"smaller than the pickle says", made(storage("0", 2)), "has 4 bytes, but data.pkl says 8"},
      {"larger", of_tensor(tensor(storage("0", 1, "BoolStorage"), 0, {1}, {1})), "has 4 bytes, but data.pkl says 1"},
      {"missing", made(storage("7", 1)), "lacks the storage data/7"},
      {"outside", made(storage("../data.pkl", 1)), "lacks the storage data/../data.pkl"},
      {"size that wraps", made(storage("0", int64_t{1} << 62)), "size overflows"},
      {"negative size", made(storage("0", -1)), "number of elements of the storage is no size"},
      {"view beyond it", made(storage("0", 1, "FloatStorage", view)), "view reaches beyond its storage"},
      {"unknown type", made(storage("0", 1, "QInt8Storage")), "global torch.QInt8Storage"},
      {"type is a dtype", made(storage("0", 1, "float32")), "storage without a type"},
      {"id is no tuple", of_tensor("K\x01Q"), "persistent id is no tuple"},
      {"id of a module", of_tensor(tuple(text("module") + "NNN") + "Q"), "something else than a storage: \"module\""},
      {"short id", of_tensor(tuple(text("storage")) + "Q"), "an id of 1 parts"},
  });
}

TEST(TorchHostile, NamesOccurOnce) {
  const std::string item = text("w") + kTensor;
  expect_refused({{"twice", of(dict(item + item)), "tensor occurs twice"}});
}

TEST(TorchHostile, ArchivesAreWhole) {
  const std::string good = of_tensor(kTensor);
  const std::string object = pickle(dict(text("w") + kTensor));
  const auto entries = [&](std::vector<Entry> more) {
    more.insert(more.begin(), {{"a/data.pkl", object}, {"a/data/0", kOne}});
    return zip(more);
  };
  // Where the directory's record of data/0 ends with the place of its header, and begins with its sizes.
  const size_t record = good.rfind("a/data/0");
  const auto patched = [&](size_t back, const std::string& bytes) {
    std::string file = good;
    return file.replace(record - back, bytes.size(), bytes);
  };
  const std::string small = zip({{"a/data.pkl", object}, {"a/data/0", kOne}}, {.end64 = false});
  std::vector<Hostile> cases{
      {"empty", "", "file is empty"},
      {"text", "<html>Not found</html>", "neither a zip archive nor a pickle"},
      {"LFS pointer", "version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"},
      {"tar", std::string(257, 'x') + "ustar" + std::string(300, '\0'), "tar form"},
      {"only the mark", "PK\x03\x04", "no directory at its end"},
      {"bytes at the end", good + "x", "no directory at its end"},
      {"bytes in front", "PK\x03\x04" + good, "is not where it is said to be"},
      {"content beyond the end", patched(26, little(~0U >> 1) + little(~0U >> 1)), "reaches beyond the end"},
      {"sizes differ", patched(26, little(1U)), "sizes of the entry differ"},
      {"64-bit extension missing", patched(26, little(~0U) + little(~0U)), "lacks its 64-bit extension"},
      {"header beyond the end", patched(4, little(0x7fffffffU)), "begins after the end"},
      {"header of another entry", patched(4, little(0U)), "entry and directory disagree"},
      {"header nowhere", patched(4, little(1U)), "is not where the directory says"},
      {"another name", replaced(good, "a/data/0", "a/data/1"), "entry and directory disagree"},
      {"data.pkl over data/0",
       [&] {
         std::string file = good;
         const std::string size = little(static_cast<uint32_t>(object.size() + 150));
         return file.replace(file.rfind("a/data.pkl") - 26, 8, size + size);
       }(),
       "entry overlaps"},
      {"entry twice", entries({{"a/data/0", kOne}}), "entry occurs twice"},
      {"two pickles", entries({{"b/data.pkl", object}}), "two pickles"},
      {"no pickle", zip({{"data.pkl", object}}), "holds no data.pkl"},
      {"TorchScript", entries({{"a/constants.pkl", ""}}), "TorchScript"},
      {"big-endian", entries({{"a/byteorder", "big"}}), "byte order is \"big\""},
      {"later format", entries({{"a/version", "11\n"}}), "format of version \"11\""},
      {"compressed", archive(object, {kOne}, {.method = 8}), "entry is compressed"},
      {"encrypted", archive(object, {kOne}, {.flags = 1}), "entry is encrypted"},
      {"several parts", replaced(small, "PK\x05\x06" + little(0U), "PK\x05\x06" + little(1U)), "several parts"},
      {"more entries than there are",
       replaced(small, little(uint16_t{2}) + little(uint16_t{2}), little(uint16_t{3}) + little(uint16_t{3})),
       "shorter than its entries"},
      {"fewer entries than there are",
       replaced(small, little(uint16_t{2}) + little(uint16_t{2}), little(uint16_t{1}) + little(uint16_t{1})),
       "longer than its entries"},
      {"entries without end", replaced(small, little(uint16_t{2}) + little(uint16_t{2}), "\xfe\xff\xfe\xff"),
       "shorter than its entries"},
      {"two directories",
       replaced(good, little(uint64_t{4}) + little(uint64_t{4}), little(uint64_t{4}) + little(uint64_t{5})),
       "archive has two directories"},
  };
  for (size_t length = 4; length < good.size(); length += 7) {
    cases.push_back({"cut short", good.substr(0, length), "no directory at its end"});
  }
  expect_refused(cases);
}

TEST(TorchHostile, LegacyFilesAreWhole) {
  const std::string object = pickle(dict(text("w") + kTensor));
  const std::string keys = pickle("](" + text("0") + "e");
  const std::string data = little(int64_t{1}) + kOne;
  const std::string good = legacy(object, keys, data);
  EXPECT_EQ(TorchFile::from_bytes(bytes_of(good), "file.bin").tensor("w").item<float>(), 1);
  std::vector<Hostile> cases{
      {"another pickle", pickle("}"), "none that torch.save wrote"},
      {"another number", replaced(good, "\x6c\xfc", "\x6c\xfd"), "none that torch.save wrote"},
      {"another protocol", replaced(good, "M\xe9\x03", "M\xea\x03"), "protocol is not 1001"},
      {"big-endian", replaced(good, "little_endian\x88", "little_endian\x89"), "big-endian"},
      {"global in the object", legacy(pickle(global("os", "system") + ")R"), keys, data),
       "global os.system has no place among weights at byte"},
      {"keys are a dict", legacy(object, pickle("}"), data), "keys of the storages are no list"},
      {"key is a number",
       legacy(object,
              pickle("](K\x01"
                     "e"),
              data),
       "key of a storage is no text"},
      {"key of no tensor", legacy(object, pickle("](" + text("1") + "e"), data), "belongs to no tensor"},
      {"no key", legacy(object, pickle("]"), ""), "lacks a storage"},
      {"key twice", legacy(object, pickle("](" + text("0") + text("0") + "e"), data + data), "occurs twice"},
      {"elements missing", legacy(object, keys, little(int64_t{1})), "reaches beyond the end of the file"},
      {"fewer elements", legacy(object, keys, little(int64_t{0})), "has 0 elements, but its tensors say 1"},
      {"huge count", legacy(object, keys, little(INT64_MAX) + kOne), "elements, but its tensors say 1"},
      {"two sizes",
       legacy(pickle(dict(text("w") + kTensor + text("x") + tensor(storage("0", 2), 0, {1}, {1}))), keys, data),
       "storage 0 has two sizes"},
      {"bytes at the end", good + "x", "1 bytes after the last storage"},
  };
  for (size_t length = 1; length < good.size(); ++length) {
    cases.push_back({"cut short", good.substr(0, length), ""});
  }
  expect_refused(cases);
}

}  // namespace
}  // namespace mica

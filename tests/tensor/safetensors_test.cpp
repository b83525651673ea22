#include "mica/tensor/safetensors.h"

#include <chrono>

#include "mica/base/error.h"
#include "mica/tests/base/colliding_keys.h"
#include "mica/tests/tensor/safetensors_files.h"

namespace mica {
namespace {

SafeTensors read(std::string_view header, size_t data_bytes, SafeTensorsOptions options = {}) {
  return SafeTensors::from_bytes(bytes_of(file_text(header, data_bytes)), "t.safetensors", options);
}

// The bits of a tensor's elements.
template <typename Bits>
std::vector<Bits> bits(const Tensor& tensor) {
  EXPECT_EQ(item_size(tensor.dtype()), static_cast<int64_t>(sizeof(Bits)));
  std::vector<Bits> values(static_cast<size_t>(tensor.numel()));
  if (!values.empty()) std::memcpy(values.data(), tensor.raw_data(), values.size() * sizeof(Bits));
  return values;
}

TEST(SafeTensors, ReadsEveryTypeOfThePythonLibrary) {
  const SafeTensors file = SafeTensors::open(test_file("python_all_types.safetensors"));
  EXPECT_EQ(file.entries().size(), 17U);
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"format", "pt"}}));
  const auto check = [&](const char* name, DType dtype, const Shape& shape) {
    const Tensor tensor = file.tensor(name);
    EXPECT_EQ(tensor.dtype(), dtype) << name;
    EXPECT_EQ(tensor.shape(), shape) << name;
    return tensor;
  };
  EXPECT_EQ(bits<uint8_t>(check("bool", DType::boolean, {3})), (std::vector<uint8_t>{1, 0, 1}));
  EXPECT_EQ(bits<uint8_t>(check("u8", DType::uint8, {5})), (std::vector<uint8_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(bits<int8_t>(check("i8", DType::int8, {5})), (std::vector<int8_t>{-2, -1, 0, 1, 2}));
  EXPECT_EQ(bits<int16_t>(check("i16", DType::int16, {2, 2})), (std::vector<int16_t>{-2, -1, 0, 1}));
  EXPECT_EQ(bits<uint16_t>(check("u16", DType::uint16, {3})), (std::vector<uint16_t>{0, 1, 2}));
  EXPECT_EQ(bits<uint16_t>(check("f16", DType::float16, {1, 3})), (std::vector<uint16_t>{0x3800, 0xbd00, 0x7bff}));
  EXPECT_EQ(bits<uint16_t>(check("bf16", DType::bfloat16, {3})), (std::vector<uint16_t>{0x3f80, 0xc020, 0x7f62}));
  EXPECT_EQ(bits<int32_t>(check("i32", DType::int32, {})), (std::vector<int32_t>{-7}));
  EXPECT_EQ(bits<uint32_t>(check("u32", DType::uint32, {2})), (std::vector<uint32_t>{0, 1}));
  EXPECT_EQ(bits<float>(check("f32.b", DType::float32, {2, 3})), (std::vector<float>{0, 0.25, 0.5, 0.75, 1, 1.25}));
  EXPECT_EQ(bits<float>(check("f32.a", DType::float32, {0, 3})), (std::vector<float>{}));
  EXPECT_EQ(bits<double>(check("f64", DType::float64, {1})), (std::vector<double>{3.14159265358979323846}));
  EXPECT_EQ(bits<int64_t>(check("i64", DType::int64, {2})), (std::vector<int64_t>{-1, int64_t{1} << 62}));
  EXPECT_EQ(bits<uint64_t>(check("u64", DType::uint64, {1})), (std::vector<uint64_t>{uint64_t{1} << 63}));
  EXPECT_EQ(bits<uint8_t>(check("f8_e4m3", DType::float8_e4m3, {2})), (std::vector<uint8_t>{0x38, 0x7e}));
  EXPECT_EQ(bits<uint8_t>(check("f8_e5m2", DType::float8_e5m2, {2})), (std::vector<uint8_t>{0x3c, 0x7b}));
  EXPECT_EQ(bits<float>(check("schön \"quoted\"\n", DType::float32, {1})), (std::vector<float>{1}));
}

TEST(SafeTensors, NamesTheTypesThatItCannotCompute) {
  const SafeTensors file = SafeTensors::open(test_file("python_rare_types.safetensors"));
  EXPECT_EQ(bits<float>(file.tensor("plain")), (std::vector<float>{0, 1, 2, 3}));
  for (const auto& [name, type] : {std::pair{"c64", "C64"}, {"e8m0", "F8_E8M0"}, {"f4", "F4"}}) {
    ASSERT_NE(file.find(name), nullptr);
    EXPECT_EQ(file.find(name)->type, type);
    EXPECT_FALSE(file.find(name)->dtype.has_value());
    try {
      file.tensor(name);
      FAIL() << name;
    } catch (const Error& error) {
      EXPECT_NE(error.problem().find(type), std::string::npos) << error.what();
      EXPECT_NE(error.where().find(name), std::string::npos) << error.what();
    }
  }
}

TEST(SafeTensors, EntriesAreInTheOrderOfTheirBytes) {
  const SafeTensors file = read(R"({"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]},
      "z":{"dtype":"F6_E2M3","shape":[4,0],"data_offsets":[3,3]},
      "a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}, "c":{"dtype":"F6_E3M2","shape":[4],"data_offsets":[3,6]}})",
                                6);
  std::vector<std::string> names;
  for (const TensorEntry& entry : file.entries()) names.push_back(entry.name);
  EXPECT_EQ(names, (std::vector<std::string>{"a", "b", "z", "c"}));
  EXPECT_EQ(bits<uint8_t>(file.tensor("b")), (std::vector<uint8_t>{1, 2}));
  EXPECT_EQ(file.find("d"), nullptr);
  EXPECT_THROW(file.tensor("d"), Error);
}

TEST(SafeTensors, ATensorOutlivesItsFileAndKeepsWritesToItself) {
  const ScratchFolder folder;
  const std::string path = folder.file("a.safetensors");
  const std::string text = file_text(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 4);
  write_file_atomically(path, text);
  Tensor tensor;
  {
    const SafeTensors file = SafeTensors::open(path);
    tensor = file.tensor("a");
    EXPECT_EQ(tensor.raw_data(), file.tensor("a").raw_data()) << "a copy was made";
  }
  std::filesystem::remove(path);
  EXPECT_EQ(bits<uint8_t>(tensor), (std::vector<uint8_t>{0, 1, 2, 3}));
  write_file_atomically(path, text);
  const Tensor changed = SafeTensors::open(path).tensor("a");
  changed.data<uint8_t>()[0] = 9;
  EXPECT_EQ(read_file(path), text);
}

TEST(SafeTensors, AMisalignedTensorIsCopied) {
  const SafeTensors file = read(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},
                                    "b":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}})",
                                9);
  const Tensor tensor = file.tensor("b");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.raw_data()) % 4, 0U);
  EXPECT_EQ(bits<uint32_t>(tensor), (std::vector<uint32_t>{0x04030201, 0x08070605}));
}

TEST(SafeTensors, TrailingBytesNeedAWordOfConsent) {
  const char* const header = R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
  EXPECT_THROW(read(header, 5), Error);
  EXPECT_EQ(read(header, 5, {.allow_trailing_bytes = true}).entries().size(), 1U);
}

TEST(SafeTensors, FilesWithoutTensors) {
  EXPECT_TRUE(read("{}", 0).entries().empty());
  EXPECT_TRUE(read("{  }   ", 0).entries().empty());
  EXPECT_TRUE(read(R"({"__metadata__":null})", 0).metadata().empty());
  EXPECT_EQ(read(R"({"__metadata__":{"a":"b"}})", 0).metadata().at("a"), "b");
}

struct Hostile {
  const char* what;
  std::string text;
};

// A header with one tensor "x", whose fields follow.
std::string one(const std::string& fields, size_t data_bytes) {
  return file_text("{\"x\":{" + fields + "}}", data_bytes);
}

std::vector<Hostile> hostile_files() {
  const std::string good = R"("dtype":"U8","shape":[2],"data_offsets":[0,2])";
  const std::string huge_length = std::string("\xff\xff\xff\xff\xff\xff\xff\xff", 8) + "{}";
  return {
      {"empty", ""},
      {"shorter than the length", "1234567"},
      {"length beyond the file", file_text("{}", 0).substr(0, 9)},
      {"length of 2^64 - 1", huge_length},
      {"length above 100 MB", std::string("\x01\xe1\xf5\x05\0\0\0\0", 8) + "{}"},
      {"no header", file_text("", 0)},
      {"space first", file_text(" {}", 0)},
      {"byte order mark first", file_text("\xef\xbb\xbf{}", 0)},
      {"a list", file_text("[]", 0)},
      {"cut JSON", file_text(R"({"x":{"dtype":"U8")", 0)},
      {"text after the JSON", file_text("{}x", 0)},
      {"zero byte after the JSON", file_text(std::string_view("{}\0x", 4), 0)},
      {"not UTF-8", file_text("{\"\xff\":{" + good + "}}", 2)},
      {"Git LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"},
      {"same tensor twice", file_text("{\"x\":{" + good + "},\"x\":{" + good + "}}", 2)},
      {"same empty tensor twice", file_text(R"({"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},
                                              "x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
                                            0)},
      {"same field twice", one(good + R"(,"dtype":"U8")", 2)},
      {"metadata twice", file_text(R"({"__metadata__":{},"__metadata__":{}})", 0)},
      {"metadata key twice", file_text(R"({"__metadata__":{"a":"b","a":"c"}})", 0)},
      {"metadata of numbers", file_text(R"({"__metadata__":{"a":1}})", 0)},
      {"metadata is text", file_text(R"({"__metadata__":"a"})", 0)},
      {"metadata nested", file_text(R"({"__metadata__":{"a":{"b":"c"}}})", 0)},
      {"unknown field", one(good + R"(,"more":1)", 2)},
      {"unknown dtype", one(R"("dtype":"F33","shape":[2],"data_offsets":[0,2])", 2)},
      {"dtype in lower case", one(R"("dtype":"u8","shape":[2],"data_offsets":[0,2])", 2)},
      {"dtype missing", one(R"("shape":[2],"data_offsets":[0,2])", 2)},
      {"dtype is a number", one(R"("dtype":8,"shape":[2],"data_offsets":[0,2])", 2)},
      {"dtype is a list", one(R"("dtype":["U8"],"shape":[2],"data_offsets":[0,2])", 2)},
      {"shape missing", one(R"("dtype":"U8","data_offsets":[0,2])", 2)},
      {"shape is a number", one(R"("dtype":"U8","shape":2,"data_offsets":[0,2])", 2)},
      {"shape is negative", one(R"("dtype":"U8","shape":[-2],"data_offsets":[0,2])", 2)},
      {"shape of negatives", one(R"("dtype":"U8","shape":[-2,-1],"data_offsets":[0,2])", 2)},
      {"shape of minus zero", one(R"("dtype":"U8","shape":[-0],"data_offsets":[0,0])", 0)},
      {"shape is a fraction", one(R"("dtype":"U8","shape":[2.0],"data_offsets":[0,2])", 2)},
      {"shape has an exponent", one(R"("dtype":"U8","shape":[2e0],"data_offsets":[0,2])", 2)},
      {"shape is text", one(R"("dtype":"U8","shape":["2"],"data_offsets":[0,2])", 2)},
      {"shape nested", one(R"("dtype":"U8","shape":[[2]],"data_offsets":[0,2])", 2)},
      {"shape holds null", one(R"("dtype":"U8","shape":[null],"data_offsets":[0,2])", 2)},
      {"nine dimensions", one(R"("dtype":"U8","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,2])", 2)},
      {"product wraps to 2", one(R"("dtype":"U8","shape":[4611686018427387905,2],"data_offsets":[0,2])", 2)},
      {"product wraps to 0", one(R"("dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0])", 0)},
      {"overflow hidden by 0", one(R"("dtype":"U8","shape":[4294967296,4294967296,0],"data_offsets":[0,0])", 0)},
      {"bits wrap", one(R"("dtype":"F64","shape":[288230376151711744],"data_offsets":[0,0])", 0)},
      {"number of 2^63", one(R"("dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,2])", 2)},
      {"number of 2^64", one(R"("dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,2])", 2)},
      {"half a byte", one(R"("dtype":"F4","shape":[3],"data_offsets":[0,2])", 2)},
      {"three quarters of a byte", one(R"("dtype":"F6_E2M3","shape":[1],"data_offsets":[0,1])", 1)},
      {"size is not the shape's", one(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])", 4)},
      {"one offset", one(R"("dtype":"U8","shape":[2],"data_offsets":[2])", 2)},
      {"three offsets", one(R"("dtype":"U8","shape":[2],"data_offsets":[0,2,2])", 2)},
      {"offsets backwards", one(R"("dtype":"U8","shape":[2],"data_offsets":[2,0])", 2)},
      {"offset of 2^64 - 1", one(R"("dtype":"U8","shape":[2],"data_offsets":[18446744073709551615,1])", 2)},
      {"end at 2^63 - 1",
       one(R"("dtype":"U8","shape":[9223372036854775807],"data_offsets":[0,9223372036854775807])", 2)},
      {"offsets past the end", one(R"("dtype":"U8","shape":[3],"data_offsets":[0,3])", 2)},
      {"a hole first", one(R"("dtype":"U8","shape":[2],"data_offsets":[1,3])", 3)},
      {"a hole between", file_text(R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},
                                      "y":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
                                   3)},
      {"overlap", file_text(R"({"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},
                               "y":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
                            3)},
      {"same bytes", file_text(R"({"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},
                                  "y":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})",
                               2)},
      {"empty tensor inside another", file_text(R"({"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},
                                                   "y":{"dtype":"U8","shape":[0],"data_offsets":[1,1]}})",
                                                2)},
      {"bytes after the last tensor", one(good, 3)},
      {"tensor is a list", file_text(R"({"x":[]})", 0)},
      {"tensor is null", file_text(R"({"x":null})", 0)},
      {"tensor is true", file_text(R"({"x":true})", 0)},
      {"deep nesting", file_text("{\"x\":" + std::string(100000, '['), 0)},
      {"deep objects", file_text(
                           [] {
                             std::string text;
                             for (int i = 0; i < 50000; ++i) text += "{\"x\":";
                             return text;
                           }(),
                           0)},
  };
}

TEST(SafeTensors, RefusesHostileFiles) {
  const ScratchFolder folder;
  const std::string path = folder.file("hostile.safetensors");
  for (const Hostile& hostile : hostile_files()) {
    SCOPED_TRACE(hostile.what);
    try {
      SafeTensors::from_bytes(bytes_of(hostile.text), "t.safetensors");
      ADD_FAILURE() << "was accepted";
    } catch (const Error& error) {
      EXPECT_NE(error.where().find("t.safetensors"), std::string::npos) << error.what();
      EXPECT_FALSE(error.mend().empty());
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    }
    write_file_atomically(path, hostile.text);
    EXPECT_THROW(SafeTensors::open(path), Error);
  }
}

TEST(SafeTensors, RefusesNamesMadeToCollide) {
  const std::vector<std::string> keys = colliding_keys(200);
  if (keys.empty()) GTEST_SKIP() << "another standard library: its hash is not known";
  std::string header = "{";
  for (const std::string& key : keys) {
    header.append(header.size() > 1 ? "," : "").append("\"" + key + "\":");
    header.append(R"({"dtype":"U8","shape":[0],"data_offsets":[0,0]})");
  }
  EXPECT_THROW(read(header + "}", 0), Error);
}

TEST(SafeTensors, RefusesABoolThatIsNeither) {
  const SafeTensors file = read(R"({"x":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]}})", 3);
  EXPECT_THROW(file.tensor("x"), Error);
}

TEST(SafeTensors, RefusesWhatIsNoFile) {
  EXPECT_THROW(SafeTensors::open("/nowhere/model.safetensors"), Error);
  EXPECT_THROW(SafeTensors::open("/"), Error);
}

TEST(SafeTensors, ManyTensorsOpenFast) {
  std::string header = "{";
  constexpr int kCount = 50'000;
  for (int i = 0; i < kCount; ++i) {
    const std::string end = std::to_string(i * 4 + 4);
    header.append(i > 0 ? "," : "").append("\"model.layers.").append(std::to_string(i)).append(".weight\":");
    header.append(R"({"dtype":"F32","shape":[1],"data_offsets":[)").append(std::to_string(i * 4));
    header.append(",").append(end).append("]}");
  }
  header += "}";
  const ScratchFolder folder;
  const std::string path = folder.file("many.safetensors");
  write_file_atomically(path, file_text(header, size_t{kCount} * 4));
  const auto start = std::chrono::steady_clock::now();
  const SafeTensors file = SafeTensors::open(path);
  const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - start;
  RecordProperty("milliseconds", static_cast<int>(taken.count()));
  EXPECT_EQ(file.entries().size(), size_t{kCount});
  EXPECT_EQ(file.find("model.layers.49999.weight")->bytes, 4);
  EXPECT_LT(taken.count(), 2000) << "far too slow, whatever the build";
}

}  // namespace
}  // namespace mica

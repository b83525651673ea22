// The header is parsed as a stream of events, straight into entries: no tree of it is ever built, and a hostile one is
// refused at the first event that does not belong.

#include "mica/tensor/safetensors_header.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>
#include <tuple>
#include <utility>

#include "mica/base/error.h"
#include "mica/base/json.h"

namespace mica::safetensors {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian, and so are views of it");

constexpr int64_t kLengthBytes = 8;
constexpr int64_t kMaxHeaderBytes = 100'000'000;
constexpr const char* kFetchAgain = "the file is damaged or not of this format: fetch or save it again";

constexpr std::array<TypeInfo, 20> kTypes{{
    {"BOOL", 8, DType::boolean},
    {"F4", 4, std::nullopt},
    {"F6_E2M3", 6, std::nullopt},
    {"F6_E3M2", 6, std::nullopt},
    {"U8", 8, DType::uint8},
    {"I8", 8, DType::int8},
    {"F8_E5M2", 8, DType::float8_e5m2},
    {"F8_E4M3", 8, DType::float8_e4m3},
    {"F8_E8M0", 8, std::nullopt},
    {"I16", 16, DType::int16},
    {"U16", 16, DType::uint16},
    {"F16", 16, DType::float16},
    {"BF16", 16, DType::bfloat16},
    {"I32", 32, DType::int32},
    {"U32", 32, DType::uint32},
    {"F32", 32, DType::float32},
    {"C64", 64, std::nullopt},
    {"F64", 64, DType::float64},
    {"I64", 64, DType::int64},
    {"U64", 64, DType::uint64},
}};

// Receives the parser's events. The grammar is small enough to be a handful of states:
//   top: { "__metadata__": metadata, NAME: tensor, ... }
//   tensor: { "dtype": TEXT, "shape": [...], "data_offsets": [begin, end] }
class Reader {
 public:
  explicit Reader(const std::string& where) : where_(where) {}

  bool null() {
    // The reference writes and reads a missing metadata object as null.
    if (state_ != State::top || !at_metadata_) fail("null where a value belongs");
    at_metadata_ = false;
    return true;
  }
  bool boolean(bool) { fail("true or false where a size or a name belongs"); }
  bool number_integer(Json::number_integer_t) { fail("negative number"); }
  bool number_float(Json::number_float_t, const std::string& text) {
    fail("number that is no size: " + printable(text, 40));
  }
  bool binary(Json::binary_t&) { fail("binary value"); }

  bool number_unsigned(Json::number_unsigned_t value) {
    if (state_ != State::shape && state_ != State::offsets) fail("number where something else belongs");
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) fail("number beyond 2^63");
    const size_t limit = state_ == State::shape ? numbers_.size() : 2;
    if (count_ == limit) {
      fail(state_ == State::shape ? "shape of more than 8 dimensions" : "data_offsets are not two numbers");
    }
    numbers_[count_++] = static_cast<int64_t>(value);
    return true;
  }

  bool string(std::string& value) {
    if (state_ == State::metadata) {
      if (!header_.metadata.emplace(std::move(key_), std::move(value)).second) fail("metadata key occurs twice");
    } else if (state_ == State::tensor && field_ == Field::dtype) {
      type_ = find_type(value);
      if (type_ == nullptr) fail("unknown dtype \"" + printable(value, 40) + "\"");
    } else {
      fail("text where something else belongs");
    }
    return true;
  }

  bool start_object(size_t) {
    if (state_ == State::start) {
      state_ = State::top;
    } else if (state_ == State::top) {
      state_ = std::exchange(at_metadata_, false) ? State::metadata : State::tensor;
      has_type_ = has_shape_ = has_offsets_ = false;
    } else {
      fail("object where something else belongs");
    }
    return true;
  }

  bool key(std::string& name) {
    if (state_ == State::top) {
      at_metadata_ = name == "__metadata__";
      if (at_metadata_ && std::exchange(has_metadata_, true)) fail("key \"__metadata__\" occurs twice");
      if (!at_metadata_) entry_.name = std::move(name);
    } else if (state_ == State::metadata) {
      key_ = std::move(name);
    } else if (name == "dtype") {
      enter(Field::dtype, &has_type_);
    } else if (name == "shape") {
      enter(Field::shape, &has_shape_);
    } else if (name == "data_offsets") {
      enter(Field::offsets, &has_offsets_);
    } else {
      fail("unknown key \"" + printable(name, 40) + "\"");
    }
    return true;
  }

  bool end_object() {
    if (state_ == State::tensor) finish_tensor();
    state_ = state_ == State::top ? State::done : State::top;
    return true;
  }

  bool start_array(size_t) {
    if (state_ != State::tensor || field_ == Field::dtype) fail("list where something else belongs");
    state_ = field_ == Field::shape ? State::shape : State::offsets;
    count_ = 0;
    return true;
  }

  bool end_array() {
    if (state_ == State::shape) {
      // Shape refuses an overflow too, but cannot say where.
      const std::span<const int64_t> dims(numbers_.data(), count_);
      int64_t product = 2;
      for (const int64_t dim : dims) {
        if (__builtin_mul_overflow(product, dim, &product)) fail("shape whose size overflows");
      }
      entry_.shape = Shape(dims);
    } else {
      if (count_ != 2) fail("data_offsets are not two numbers");
      begin_ = numbers_[0];
      end_ = numbers_[1];
    }
    state_ = State::tensor;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) {
    throw Error("header is no valid JSON at its byte " + std::to_string(position), printable(where_, 400), kFetchAgain);
  }

  Header take() { return std::move(header_); }

 private:
  enum class State { start, top, metadata, tensor, shape, offsets, done };
  enum class Field { dtype, shape, offsets };

  [[noreturn]] void fail(const std::string& problem) const {
    const bool inside = !entry_.name.empty() && state_ != State::metadata && !at_metadata_;
    throw Error(problem, inside ? place(where_, entry_.name) : printable(where_, 400), kFetchAgain);
  }

  void enter(Field field, bool* seen) {
    if (std::exchange(*seen, true)) fail("a key of the tensor occurs twice");
    field_ = field;
  }

  void finish_tensor() {
    if (!has_type_ || !has_shape_ || !has_offsets_) fail("dtype, shape or data_offsets are missing");
    int64_t bits = type_->bits;
    for (const int64_t dim : entry_.shape) {
      if (__builtin_mul_overflow(bits, dim, &bits)) fail("shape whose size overflows");
    }
    if (bits % 8 != 0) fail("shape " + to_string(entry_.shape) + " does not fill whole bytes");
    if (end_ < begin_) fail("data_offsets end before they begin");
    if (end_ - begin_ != bits / 8) {
      fail("data_offsets hold " + std::to_string(end_ - begin_) + " bytes, but " + std::string(type_->spelling) + " " +
           to_string(entry_.shape) + " needs " + std::to_string(bits / 8));
    }
    entry_.type = type_->spelling;
    entry_.dtype = type_->dtype;
    entry_.offset = begin_;
    entry_.bytes = end_ - begin_;
    header_.entries.push_back(std::move(entry_));
    entry_ = {};
  }

  const std::string& where_;
  Header header_;
  State state_ = State::start;
  Field field_ = Field::dtype;
  bool at_metadata_ = false, has_metadata_ = false;
  bool has_type_ = false, has_shape_ = false, has_offsets_ = false;
  std::string key_;
  TensorEntry entry_;
  const TypeInfo* type_ = nullptr;
  std::array<int64_t, kMaxRank> numbers_{};
  size_t count_ = 0;
  int64_t begin_ = 0, end_ = 0;
};

// The tensors must tile the bytes after the header. Turns offsets that count from there into ones from the file's
// start.
void check_layout(std::vector<TensorEntry>& entries, int64_t begin, int64_t size, const std::string& where,
                  SafeTensorsOptions options) {
  const auto before = [](const TensorEntry& a, const TensorEntry& b) {
    return std::tie(a.offset, a.bytes) < std::tie(b.offset, b.bytes);
  };
  if (!std::is_sorted(entries.begin(), entries.end(), before)) {
    std::stable_sort(entries.begin(), entries.end(), before);
  }
  int64_t next = 0;
  for (TensorEntry& entry : entries) {
    if (entry.offset != next) {
      throw Error(entry.offset < next ? "tensor overlaps another" : "unused bytes before tensor",
                  place(where, entry.name), kFetchAgain);
    }
    next += entry.bytes;  // cannot overflow: it is the entry's end, which was read as a number
    entry.offset += begin;
    if (next > size - begin) {
      throw Error("tensor ends after the end of the file (" + std::to_string(size) + " bytes)",
                  place(where, entry.name), "the file is cut short: fetch it again");
    }
  }
  if (next < size - begin && !options.allow_trailing_bytes) {
    throw Error(std::to_string(size - begin - next) + " bytes after the last tensor", printable(where, 400),
                "fetch the file again, or open it with allow_trailing_bytes when it is known to have them");
  }
}

}  // namespace

std::span<const TypeInfo> types() {
  return kTypes;
}

const TypeInfo* find_type(std::string_view spelling) {
  const auto* const it =
      std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeInfo& type) { return type.spelling == spelling; });
  return it == kTypes.end() ? nullptr : it;
}

const TypeInfo& type_of(DType dtype) {
  const auto* const it =
      std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeInfo& type) { return type.dtype == dtype; });
  if (it == kTypes.end()) throw Error("dtype " + std::string(name(dtype)) + " has no spelling", "safetensors", "");
  return *it;
}

std::string place(const std::string& file, std::string_view tensor) {
  return printable(file, 400) + ", tensor \"" + printable(tensor) + "\"";
}

Header parse_header(std::span<const std::byte> file, const std::string& where, SafeTensorsOptions options) {
  const auto fail = [&](const std::string& problem, const char* mend = kFetchAgain) {
    throw Error(problem, printable(where, 400), mend);
  };
  const auto size = static_cast<int64_t>(file.size());
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  if (text.starts_with("version https://git-lfs")) {
    fail("file is a Git LFS pointer, not the weights", "fetch the weights with `git lfs pull`");
  }
  if (size < kLengthBytes) fail("file of " + std::to_string(size) + " bytes is too short to be safetensors");
  uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof(length));
  if (length > kMaxHeaderBytes) fail("header of " + std::to_string(length) + " bytes is larger than 100 MB");
  const auto header_size = static_cast<int64_t>(length);
  if (header_size > size - kLengthBytes) {
    fail("header of " + std::to_string(length) + " bytes is larger than the file (" + std::to_string(size) + " bytes)");
  }
  const std::string_view json = text.substr(kLengthBytes, length);
  if (!json.starts_with('{')) fail("header does not start with \"{\"");
  // The parser takes a zero byte for the end of the text, and would not see what stands behind it.
  if (json.find('\0') != std::string_view::npos) fail("header holds a zero byte");
  Reader reader(where);
  Json::sax_parse(json.data(), json.data() + json.size(), &reader);
  Header header = reader.take();
  check_layout(header.entries, kLengthBytes + header_size, size, where, options);
  return header;
}

}  // namespace mica::safetensors

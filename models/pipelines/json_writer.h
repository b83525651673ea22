#pragma once
// Results as JSON text, written in order. Numbers are as short as they can be and still read back the same.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace mica {

class JsonWriter {
 public:
  JsonWriter& begin_object();
  JsonWriter& end_object();
  JsonWriter& begin_array();
  JsonWriter& end_array();
  JsonWriter& key(std::string_view name);
  JsonWriter& value(std::string_view text);  ///< what is not UTF-8 becomes U+FFFD
  JsonWriter& value(const std::string& text) { return value(std::string_view(text)); }
  JsonWriter& value(const char* text) { return value(std::string_view(text)); }
  JsonWriter& value(bool flag);
  JsonWriter& value(int64_t number);
  JsonWriter& value(int number) { return value(static_cast<int64_t>(number)); }
  JsonWriter& value(float number);  ///< null where it is not finite
  JsonWriter& value(double number);
  JsonWriter& value(std::span<const float> numbers);
  JsonWriter& null();
  JsonWriter& raw(std::string_view json);  ///< a value that is JSON already, put on one line

  const std::string& text() const { return text_; }

 private:
  void separate();
  void quote(std::string_view text);
  std::string text_;
  bool needs_comma_ = false;
};

}  // namespace mica

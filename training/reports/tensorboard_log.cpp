// Event files as TensorBoard reads them. A file is a sequence of records:
//
//   length (8 bytes, little-endian) | masked CRC of the length | the bytes | masked CRC of the bytes
//
// with CRC32C (Castagnoli) masked by a rotation and a constant; the bytes are a protocol buffer "Event": field 1 the
// time (double), 2 the step (varint), 3 the version (the first record alone), 5 a summary of values {1: tag, 2: a
// float}.

#include <array>
#include <bit>
#include <chrono>
#include <cstring>
#include <optional>

#include <unistd.h>

#include "mica/base/file.h"
#include "mica/training/reports/reports.h"

namespace mica {
namespace {

constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0x82F63B78U : 0U);
    table[i] = value;
  }
  return table;
}

uint32_t masked_crc(std::string_view bytes) {
  static constexpr std::array<uint32_t, 256> kTable = make_crc_table();
  uint32_t crc = ~0U;
  for (const char c : bytes) crc = kTable[(crc ^ static_cast<uint8_t>(c)) & 0xFF] ^ (crc >> 8);
  crc = ~crc;
  return std::rotr(crc, 15) + 0xA282EAD8U;
}

// The few shapes of a protocol buffer's fields that an event needs.
class Message {
 public:
  Message& varint(int field, uint64_t value) {
    key(field, 0);
    number(value);
    return *this;
  }
  Message& float64(int field, double value) {
    key(field, 1);
    fixed(std::bit_cast<uint64_t>(value), 8);
    return *this;
  }
  Message& float32(int field, float value) {
    key(field, 5);
    fixed(std::bit_cast<uint32_t>(value), 4);
    return *this;
  }
  Message& bytes(int field, std::string_view value) {
    key(field, 2);
    number(value.size());
    text_ += value;
    return *this;
  }
  const std::string& text() const { return text_; }

  static std::string little_endian(uint64_t value, int count) {
    Message message;
    message.fixed(value, count);
    return message.text_;
  }

 private:
  void key(int field, int kind) { number(static_cast<uint64_t>(field) << 3 | static_cast<uint64_t>(kind)); }
  void number(uint64_t value) {
    for (; value >= 0x80; value >>= 7) text_ += static_cast<char>(value | 0x80);
    text_ += static_cast<char>(value);
  }
  void fixed(uint64_t value, int count) {
    for (int i = 0; i < count; ++i) text_ += static_cast<char>(value >> (8 * i));
  }
  std::string text_;
};

std::string record(const std::string& event) {
  const std::string length = Message::little_endian(event.size(), 8);
  return length + Message::little_endian(masked_crc(length), 4) + event + Message::little_endian(masked_crc(event), 4);
}

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// "eval_loss" is eval/loss, "loss" train/loss.
std::string tag_of(const std::string& name) {
  for (const char* stage : {"eval", "test"}) {
    const std::string prefix = std::string(stage) + "_";
    if (name.starts_with(prefix)) return std::string(stage) + "/" + name.substr(prefix.size());
  }
  return "train/" + name;
}

class TensorBoardLog : public TrainerCallback {
 public:
  explicit TensorBoardLog(std::string folder) : folder_(std::move(folder)) {}

  void on_train_begin(const TrainerContext& context) override {
    make_directories(folder_);
    char host[64] = "host";
    ::gethostname(host, sizeof host - 1);
    const auto seconds = static_cast<int64_t>(now());
    file_.emplace(join_path(folder_, "events.out.tfevents." + std::to_string(seconds) + "." + host + "." +
                                         std::to_string(::getpid()) + ".mica"),
                  true);
    file_->append(record(Message().float64(1, now()).bytes(3, "brain.Event:2").text()));
    for (const LogEntry& entry : context.state.log_history) write(entry);
  }
  void on_log(const TrainerContext&, const LogEntry& entry) override {
    if (file_) write(entry);
  }

 private:
  void write(const LogEntry& entry) const {
    Message summary;
    for (const auto& [name, value] : entry) {
      if (name == "step") continue;
      summary.bytes(1, Message().bytes(1, tag_of(name)).float32(2, static_cast<float>(value)).text());
    }
    const auto step = static_cast<uint64_t>(find(entry, "step").value_or(0));
    file_->append(record(Message().float64(1, now()).varint(2, step).bytes(5, summary.text()).text()));
  }

  std::string folder_;
  std::optional<GrowingFile> file_;
};

}  // namespace

std::shared_ptr<TrainerCallback> tensorboard_log(const std::string& folder) {
  return std::make_shared<TensorBoardLog>(folder);
}

}  // namespace mica

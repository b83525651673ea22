#include "mica/tokenizers/readers/tokenizer_image.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/tokenizers/readers/tokenizer_json.h"

namespace mica {
namespace {

constexpr int64_t kLeastBytes = 256 << 10;  // of a file whose image is worth its room
constexpr size_t kMostImages = 16;

// Which of the bulk a file has.
struct Kept {
  uint64_t vocabulary_is_scored, has_merges;
};

// Removes the oldest images until there is room for one more.
void make_room(const std::filesystem::path& folder) {
  std::error_code error;
  std::vector<std::pair<std::filesystem::file_time_type, std::filesystem::path>> images;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("tokenizer-") || !name.ends_with(".image")) continue;
    images.emplace_back(entry.last_write_time(error), entry.path());
  }
  if (images.size() < kMostImages) return;
  std::sort(images.begin(), images.end());
  images.resize(images.size() - kMostImages + 1);
  for (const auto& [time, path] : images) std::filesystem::remove(path, error);
}

}  // namespace

TokenizerImage::TokenizerImage(const std::string& json_path)
    : json_path_(json_path), source_(ImageSource::of(json_path)) {
  if (!source_ || source_->size < kLeastBytes) return;
  path_ = image_path(*source_, "tokenizer");
  if (path_) image_ = ImageReader::open(*path_, *source_);
}

std::shared_ptr<Engine> TokenizerImage::read() {
  if (image_) {
    try {
      const std::string_view rest = image_->take_text();
      ModelData data;
      const Kept kept = image_->take_value<Kept>();
      data.scored = kept.vocabulary_is_scored != 0;
      data.has_merges = kept.has_merges != 0;
      data.vocabulary = Vocabulary::read(*image_);
      data.image = &*image_;
      return read_tokenizer_rest(rest, json_path_, std::move(data));
    } catch (const Error&) {
      image_.reset();  // the file itself says what is wrong with it
    }
  }
  return read_tokenizer_json(read_file(json_path_), json_path_, rest_);
}

void TokenizerImage::prepare(Engine& engine) {
  engine.prepare(image_ ? &*image_ : nullptr);
  if (!image_ && path_ && !rest_.empty()) keep(engine);
}

// No image is no loss: whatever goes wrong here is no concern of the caller.
void TokenizerImage::keep(const Engine& engine) const {
  const bool scored = std::string_view(engine.model->type()) == "Unigram";
  const bool has_merges = std::string_view(engine.model->type()) == "BPE";
  ImageWriter image;
  image.add_text(rest_);
  image.add_value(Kept{scored, has_merges});
  engine.model->vocabulary().write(image);
  if (!engine.model->write(image)) return;
  write_fast_path(engine.fast_path(), image);
  try {
    const std::filesystem::path folder = std::filesystem::path(*path_).parent_path();
    make_directories(folder.string());
    make_room(folder);
    image.write(*path_, *source_);
  } catch (const Error&) {
  }
}

}  // namespace mica

#pragma once
// Images of tokenizers: the tables of a tokenizer.json in a cache file of ours, so that opening it again only maps them.
//
// Where a tokenizer.json of 256 KB or more was read, its image is written to the user's cache folder (see image_path();
// MICA_CACHE_DIR= turns that off); the newest sixteen stay. An image is used while the file beside it is unchanged.

#include <memory>
#include <optional>
#include <string>

#include "mica/base/image.h"
#include "mica/tokenizers/engine.h"

namespace mica {

class TokenizerImage {
 public:
  /// Looks for an image of this tokenizer.json.
  explicit TokenizerImage(const std::string& json_path);

  /// The engine, from the image if there is one, else from the file. Call prepare() next.
  std::shared_ptr<Engine> read();
  /// Prepares the engine that read() gave (its normalizer and pre-tokenizer may have changed since), and keeps an image
  /// of it where there was none.
  void prepare(Engine& engine);
  bool found() const { return image_.has_value(); }

 private:
  void keep(const Engine& engine) const;

  std::string json_path_;
  std::optional<ImageSource> source_;
  std::optional<std::string> path_;  // of the image
  std::optional<ImageReader> image_;
  std::string rest_;  // of the file without its bulk
};

}  // namespace mica

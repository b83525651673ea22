#include "mica/tokenizers/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <array>

#include <pcre2.h>

#include "mica/base/error.h"
#include "mica/tokenizers/oniguruma.h"
#include "mica/tokenizers/split_scanner.h"
#include "mica/tokenizers/utf8.h"

namespace mica {
namespace {

// Steps of one search. The patterns of published tokenizers need a few for each character; one that explodes needs 2^n.
constexpr uint32_t kMatchLimit = 10'000'000;
constexpr uint32_t kHeapLimit = 64 * 1024;  // KiB
constexpr size_t kMaxPattern = 64 * 1024;   // bytes

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatch {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct FreeContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

std::string message(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

PCRE2_SPTR units(std::string_view text) {
  return reinterpret_cast<PCRE2_SPTR>(text.data());
}

using Code = std::unique_ptr<pcre2_code, FreeCode>;

Code compile(std::string_view pattern, int& error, PCRE2_SIZE& at) {
  // A pattern may not look at single bytes or leave the engine (callouts), whatever it asks for. ^ and $ stand for the
  // ends of lines, as tokenizer files mean them.
  constexpr uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
  return Code(pcre2_compile(units(pattern), pattern.size(), options, &error, &at, nullptr));
}

bool is_script(const std::string& name) {
  int error = 0;
  PCRE2_SIZE at = 0;
  return compile("\\p{sc:" + name + "}", error, at) != nullptr;
}

}  // namespace

struct Pattern::Impl {
  std::string text;
  bool regular = false;
  Code code;  // null for a plain string, and for an expression that has a scanner
  std::unique_ptr<pcre2_match_context, FreeContext> limits;
  split::FindAll scanner = nullptr;
};

Pattern Pattern::read(Fields& fields, const char* key) {
  Fields pattern = fields.object(key);
  auto impl = std::make_shared<Impl>();
  const bool regular = pattern.has("Regex");
  impl->text = pattern.string(regular ? "Regex" : "String");
  pattern.finish();
  if (impl->text.size() > kMaxPattern)
    fields.fail("a pattern of " + std::to_string(impl->text.size()) + " bytes", "shorten it");
  impl->regular = regular;
  if (regular) impl->scanner = split::find_scanner(impl->text);
  if (regular && impl->scanner == nullptr) {
    int error = 0;
    PCRE2_SIZE at = 0;
    const std::string translated = pcre_from_oniguruma(impl->text, is_script, fields.file());
    impl->code = compile(translated, error, at);
    if (!impl->code) {
      fields.fail("the regular expression of " + fields.path() + " does not compile: " + message(error) + " in \"" +
                      printable(impl->text, 120) + "\"",
                  "mend the file");
    }
    pcre2_jit_compile(impl->code.get(), PCRE2_JIT_COMPLETE);  // where there is no JIT, the interpreter serves
    impl->limits.reset(pcre2_match_context_create(nullptr));
    if (!impl->limits) throw Error("out of memory", fields.file(), "free some");
    pcre2_set_match_limit(impl->limits.get(), kMatchLimit);
    pcre2_set_heap_limit(impl->limits.get(), kHeapLimit);
  }
  Pattern result;
  result.impl_ = std::move(impl);
  return result;
}

void Pattern::find(std::string_view text, const std::function<void(size_t begin, size_t end)>& found) const {
  if (text.empty()) return;
  if (impl_->scanner != nullptr) return impl_->scanner(text, found);
  if (!impl_->code && !impl_->text.empty()) {
    for (size_t at = text.find(impl_->text); at != text.npos; at = text.find(impl_->text, at + impl_->text.size())) {
      found(at, at + impl_->text.size());
    }
    return;
  }
  const auto next = [&](size_t at) {
    return at < text.size() ? at + static_cast<size_t>(utf8::length(static_cast<unsigned char>(text[at]))) : at + 1;
  };
  if (!impl_->code) {  // the empty string is everywhere
    for (size_t at = 0; at <= text.size(); at = next(at)) found(at, at);
    return;
  }
  const std::unique_ptr<pcre2_match_data, FreeMatch> data(
      pcre2_match_data_create_from_pattern(impl_->code.get(), nullptr));
  if (!data) throw Error("out of memory", "tokenizer", "free some");
  const auto match = [&](size_t at, uint32_t options) {
    return pcre2_match(impl_->code.get(), units(text), text.size(), at, PCRE2_NO_UTF_CHECK | options, data.get(),
                       impl_->limits.get());
  };
  size_t last = SIZE_MAX;  // where the match before ended
  for (size_t at = 0; at <= text.size();) {
    int count = match(at, 0);
    // The compiled code has a small stack; the interpreter takes what it needs from the heap, up to its limit.
    if (count == PCRE2_ERROR_JIT_STACKLIMIT) count = match(at, PCRE2_NO_JIT);
    if (count == PCRE2_ERROR_NOMATCH) return;
    if (count < 0) {
      throw Error("the regular expression \"" + printable(impl_->text) + "\" gives up: " + message(count), "tokenizer",
                  "use a text without such long runs, or mend the expression");
    }
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(data.get());
    // \K in a lookahead can start a match after its end; a match behind the last one would never end.
    if (range[1] < range[0] || range[0] < at) return;
    if (range[0] == range[1] && range[1] == last) {  // an empty match may not touch the one before
      at = next(at);
      continue;
    }
    found(range[0], range[1]);
    at = last = range[1];
  }
}

Json Pattern::to_json() const {
  return {{impl_->regular ? "Regex" : "String", impl_->text}};
}

}  // namespace mica

#include "mica/base/error.h"

#include <utility>

namespace mica {
namespace {

std::string compose(const std::string& problem, const std::string& where, const std::string& mend) {
  std::string text = problem;
  if (!where.empty()) text += " (" + where + ")";
  if (!mend.empty()) text += ": " + mend;
  return text;
}

// Length of the valid UTF-8 sequence at `text[i]`, or 0.
size_t utf8_length(std::string_view text, size_t i) {
  const auto byte = [&](size_t k) { return static_cast<unsigned char>(text[k]); };
  const unsigned char lead = byte(i);
  const size_t n = lead < 0x80                   ? 1
                   : lead >= 0xc2 && lead < 0xe0 ? 2
                   : (lead & 0xf0) == 0xe0       ? 3
                   : lead >= 0xf0 && lead < 0xf5 ? 4
                                                 : 0;
  if (n == 0 || i + n > text.size()) return 0;
  for (size_t k = 1; k < n; ++k) {
    if ((byte(i + k) & 0xc0) != 0x80) return 0;
  }
  return n;
}

}  // namespace

Error::Error(std::string problem, std::string where, std::string mend)
    : std::runtime_error(compose(problem, where, mend)),
      problem_(std::move(problem)),
      where_(std::move(where)),
      mend_(std::move(mend)) {}

std::string printable(std::string_view text, size_t max_bytes) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    if (out.size() > max_bytes) {
      out += "...";
      break;
    }
    const size_t n = utf8_length(text, i);
    if (n == 0 || (n == 1 && (static_cast<unsigned char>(text[i]) < 0x20 || text[i] == 0x7f))) {
      out += '?';
      ++i;
    } else {
      out.append(text, i, n);
      i += n;
    }
  }
  return out;
}

}  // namespace mica

#pragma once
// The one exception type of mica: every failure names what went wrong, where, and how to mend it.

#include <stdexcept>
#include <string>
#include <string_view>

namespace mica {

/// Thrown by every part of the library. `what()` reads "WHAT (WHERE): HOW"; a part that does not apply is left out.
class Error : public std::runtime_error {
 public:
  Error(std::string problem, std::string where, std::string mend);

  const std::string& problem() const { return problem_; }
  const std::string& where() const { return where_; }
  const std::string& mend() const { return mend_; }

 private:
  std::string problem_, where_, mend_;
};

/// Makes untrusted text fit for one line of an error message: control characters and invalid UTF-8 are replaced, long
/// text is cut in the middle.
std::string printable(std::string_view text, size_t max_bytes = 120);

}  // namespace mica

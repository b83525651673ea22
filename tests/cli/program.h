#pragma once
// Runs the built mica program as a user would.

#include <string>
#include <vector>

namespace mica::testing_program {

struct Outcome {
  int status = -1;  ///< exit status; 128 + n for a signal n
  std::string out, err;
};

/// mica with these arguments, `input` on its standard input.
Outcome mica(const std::vector<std::string>& arguments, const std::string& input = "");

/// Another program, the first of the words, found as a shell would; status 127 where there is none.
Outcome run(const std::vector<std::string>& words, const std::string& input = "");

std::vector<std::string> lines(const std::string& text);

}  // namespace mica::testing_program

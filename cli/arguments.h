#pragma once
// The command line, told once a subcommand: its arguments are bound to variables, which a successful parse fills in.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace mica::cli {

/// The arguments of one subcommand. Names: "model" for a positional one, "--json" or "-k,--top-k" for an option.
class Arguments {
 public:
  explicit Arguments(CLI::App* app) : app_(app) {}

  void flag(const char* name, bool& value, const char* help);
  void text(const char* name, std::string& value, const char* help);
  /// `type` is what the help shows for the value.
  void text(const char* name, std::optional<std::string>& value, const char* help, const char* type = "TEXT");
  /// An option whose value may be left out: it is "true" then.
  void optional_value(const char* name, std::optional<std::string>& value, const char* help);
  void required_text(const char* name, std::string& value, const char* help);
  /// Any number of words.
  void texts(const char* name, std::vector<std::string>& values, const char* help);
  /// Words with commas between them; the option may be given again for more.
  void list(const char* name, std::vector<std::string>& values, const char* help);
  /// One word each time the option is given, commas and all.
  void repeated(const char* name, std::vector<std::string>& values, const char* help);
  void integer(const char* name, int64_t& value, int64_t low, int64_t high, const char* help);
  void integer(const char* name, std::optional<int64_t>& value, int64_t low, int64_t high, const char* help);
  /// One of the names.
  void choice(const char* name, std::string& value, const std::vector<std::string>& names, const char* help);

 private:
  CLI::App* app_;
};

/// What a subcommand does once its arguments are known.
using Action = std::function<void()>;

struct Subcommand {
  const char* name;  ///< "embed", or two words where several belong together: "tokenizer train"
  const char* help;
  Action (*declare)(Arguments& arguments);
};

/// The command line does not fit: shown as an error, exit status 2.
struct UsageError {
  std::string problem, where, mend;
};

/// Ends the program without a word: another process of its group says why.
struct QuietExit {
  int status;
};

/// Parses and runs. Returns false when there was only help to show, which `print` gets. Throws UsageError for arguments
/// that don't fit.
bool run_command_line(int argc, char** argv, const std::vector<Subcommand>& subcommands,
                      const std::function<void(const std::string&)>& print);

}  // namespace mica::cli

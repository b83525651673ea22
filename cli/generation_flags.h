#pragma once
// Flags of generate and chat: the settings of generation, by the names they have in generation_config.json.

#include <atomic>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "cli/arguments.h"

#include "mica/models/generation/generation_config.h"

namespace mica::cli {

/// Held as the words of the command line until config() reads them.
class GenerationFlags {
 public:
  void declare(Arguments& arguments);
  /// The settings that were given. Throws UsageError for a value that is none, and a field that there is not.
  GenerationConfig config() const;

 private:
  std::deque<std::optional<std::string>> values_;  // in the order of the table; a deque: arguments keep references
  std::vector<std::string> stops_, sets_;
  bool do_sample_ = false, truncate_prompt_ = false;
};

/// One setting written as key=json: "top_k=5", "eos_token_id=[1,2]". Throws UsageError.
GenerationConfig setting_from_text(const std::string& text);

/// While alive, Ctrl-C sets flag() instead of ending the program.
class Interrupt {
 public:
  enum Signals {
    ctrl_c,
    also_terminate
  };  ///< also_terminate: SIGTERM, by which schedulers of jobs say that time is up
  explicit Interrupt(Signals signals = ctrl_c);
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;
  static std::atomic<bool>& flag();

 private:
  Signals signals_;
};

/// Text for the screen or a pipe right away, as it is.
void write_now(std::string_view text);

}  // namespace mica::cli

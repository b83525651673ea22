// The mica program: exit status 0 done, 1 failed, 2 wrong usage; an error is one line on standard error.

#include <cstdio>
#include <exception>
#include <new>
#include <string>

#include "cli/common.h"
#include "cli/subcommands.h"

#include "mica/base/error.h"
#include "mica/base/warnings.h"

namespace {

void complain(const char* kind, const std::string& message) {
  mica::cli::end_progress();
  std::fprintf(stderr, "mica: %s: %s\n", kind, message.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  using namespace mica::cli;
  mica::set_warning_handler([](const std::string& message) { complain("warning", message); });
  const std::vector<Subcommand> subcommands{
      {"info", "what this program can do here, or what is in a model folder", info},
      {"tokenize", "texts to token ids", tokenize},
      {"decode", "token ids to text", decode},
      {"template", "messages to the text of a chat", chat_template},
      {"tokenizer train", "a tokenizer from a corpus", tokenizer_train},
      {"embed", "sentence vectors of texts, and how alike they are", embed},
      {"classify", "labels for texts", classify},
      {"rank", "documents by how well they go with a query", rank},
      {"tag", "labelled spans of texts", tag},
      {"answer", "the span of a context that answers a question", answer},
      {"fill", "words for the masks in texts", fill},
      {"generate", "texts that go on from prompts, or summaries and translations of texts", generate},
      {"chat", "turns with a model, by its chat template", chat},
      {"train", "train a model for a task on a file of data", train},
      {"run", "feed named tensors to a model and write its outputs", run},
      {"bench", "latency, throughput and memory of a model on this machine", bench},
  };
  try {
    run_command_line(argc, argv, subcommands, [](const std::string& text) { write_line(text); });
    flush_output();
    return 0;
  } catch (const QuietExit& exit) {
    return exit.status;
  } catch (const UsageError& error) {
    complain("error", error.problem + " (" + error.where + "): " + error.mend);
    return 2;
  } catch (const mica::Error& error) {
    complain("error", error.what());
  } catch (const std::bad_alloc&) {
    complain("error", "not enough memory (allocation): use a smaller batch or a smaller model");
  } catch (const std::exception& error) {
    complain("error", mica::printable(error.what(), 300) + " (unexpected): please report this");
  }
  return 1;
}

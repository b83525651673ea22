// mica chat: turns with a model, by its chat template.

#include <cerrno>
#include <cstdio>
#include <iostream>
#include <memory>

#include "cli/common.h"
#include "cli/constraint_flags.h"
#include "cli/generation_flags.h"
#include "cli/subcommands.h"
#include <poll.h>
#include <unistd.h>

#include "mica/base/error.h"
#include "mica/base/file.h"
#include "mica/base/hub.h"
#include "mica/models/pipelines/chat_session.h"
#include "mica/models/pipelines/json_writer.h"

namespace mica::cli {
namespace {

struct Options : CommonOptions {
  GenerationFlags flags;
  ConstraintFlags rules;
  std::optional<std::string> system, load, chat_template;
};

constexpr const char* kHelp =
    "/clear            forget what was said, but for the system message\n"
    "/system [TEXT]    set the system message; without TEXT take it away\n"
    "/regenerate       another answer to the last message\n"
    "/save FILE        write the conversation as JSON\n"
    "/load FILE        go on with a conversation\n"
    "/set key=value    a setting of generation, as in /set temperature=0.7\n"
    "/help             this text\n"
    "/exit             leave; so does Ctrl-D. Ctrl-C ends an answer";

const char* reason(FinishReason finish) {
  switch (finish) {
    case FinishReason::end_token:
      return "end_token";
    case FinishReason::length:
      return "length";
    case FinishReason::stop_string:
      return "stop_string";
    case FinishReason::constraint:
      return "constraint";
    case FinishReason::max_time:
      return "max_time";
    case FinishReason::interrupted:
      return "interrupted";
  }
  return "";
}

class Chat {
 public:
  Chat(const Options& options, ChatSession session)
      : options_(options), session_(std::move(session)), settings_(options.flags.config()) {
    if (options.load) load(*options.load);
    if (options.system) session_.set_system(options.system);
    make_rule(settings_);
  }

  // Returns whether all went well.
  bool run() {
    const Interrupt interrupt;
    const bool person = isatty(STDIN_FILENO) != 0;
    if (person) note("/help lists the commands; Ctrl-C ends an answer, /exit the chat");
    for (std::string line; !left_ && read_line(person, &line);) {
      try {
        handle(line);
      } catch (const Error& error) {
        complain(error.what());
      } catch (const UsageError& error) {
        complain(error.problem + " (" + error.where + "): " + error.mend);
      }
    }
    return clean_ || person;
  }

 private:
  static void note(const std::string& text) { std::fprintf(stderr, "%s\n", text.c_str()); }

  void complain(const std::string& message) {
    clean_ = false;
    std::fprintf(stderr, "mica: error: %s\n", message.c_str());
  }

  // A line of input; Ctrl-C while waiting asks again.
  static bool read_line(bool person, std::string* line) {
    Interrupt::flag() = false;
    for (bool ready = !person; !ready;) {
      std::fputs("> ", stderr);
      pollfd input{STDIN_FILENO, POLLIN, 0};
      ready = poll(&input, 1, -1) >= 0 || errno != EINTR;
      if (!ready) std::fputs("\n", stderr);
    }
    Interrupt::flag() = false;
    if (!std::getline(std::cin, *line)) {
      if (person) std::fputs("\n", stderr);
      return false;
    }
    if (line->ends_with('\r')) line->pop_back();
    return true;
  }

  void handle(const std::string& line) {
    if (line.find_first_not_of(" \t") == std::string::npos) return;
    if (!line.starts_with('/')) {
      return speak([&](const ChatTurnOptions& call) { return session_.send(line, call); });
    }
    const size_t space = line.find(' ');
    const std::string command = line.substr(0, space);
    const std::string rest = space == std::string::npos ? "" : line.substr(space + 1);
    if (command == "/help") {
      note(kHelp);
    } else if (command == "/clear") {
      session_.clear();
    } else if (command == "/system") {
      session_.set_system(rest.empty() ? std::nullopt : std::optional(rest));
    } else if (command == "/regenerate") {
      speak([&](const ChatTurnOptions& call) { return session_.regenerate(call); });
    } else if (command == "/save") {
      write_file_atomically(named(command, rest), session_.to_json() + "\n");
    } else if (command == "/load") {
      load(named(command, rest));
    } else if (command == "/set") {
      const GenerationConfig wanted = settings_.with(setting_from_text(rest));
      session_.model().generation_config().with(wanted).validate();
      make_rule(wanted);
      settings_ = wanted;
    } else if (command == "/exit" || command == "/quit") {
      left_ = true;
    } else {
      throw Error("unknown command " + printable(command), "chat", "/help lists them");
    }
  }

  static std::string named(const std::string& command, const std::string& file) {
    if (file.empty()) throw Error(command + " without a file", "chat", "name one");
    return file;
  }

  void load(const std::string& path) {
    session_.set_messages(ChatSession::messages_from_json(read_file(path, 100'000'000), path));
  }

  // Of the flags, if any; its end tokens are those of the settings.
  void make_rule(const GenerationConfig& settings) {
    rule_ = options_.rules.constraint(session_.tokenizer(), session_.model().generation_config().with(settings));
  }

  template <typename Say>
  void speak(Say say) {
    ChatTurnOptions call;
    call.generation = settings_;
    call.interrupt = &Interrupt::flag();
    call.constraint = rule_.get();
    if (!options_.json) {
      call.on_text = [](std::string_view text) { write_now(text); };
    }
    const ChatAnswer answer = say(call);
    if (options_.json) {
      JsonWriter json;
      json.begin_object().key("role").value("assistant").key("content").value(answer.text);
      json.key("finish")
          .value(reason(answer.finish))
          .key("prompt_tokens")
          .value(answer.prompt_tokens)
          .key("reused_tokens")
          .value(answer.reused_tokens);
      json.key("new_tokens").value(answer.new_tokens).key("dropped_messages").value(answer.dropped_messages);
      write_line(json.end_object().text());
      flush_output();
    } else {
      write_now("\n");
    }
    if (answer.dropped_messages > 0) {
      note("(the context is full: the " + std::to_string(answer.dropped_messages) + " oldest messages were left out)");
    }
    if (answer.finish == FinishReason::interrupted) note("(interrupted)");
    if (answer.finish == FinishReason::length && isatty(STDIN_FILENO) != 0) {
      note("(the answer was cut: its length or the context is used up)");
    }
  }

  const Options& options_;
  ChatSession session_;
  GenerationConfig settings_;
  std::unique_ptr<TokenConstraint> rule_;  // every answer keeps it
  bool clean_ = true, left_ = false;
};

void execute(const Options& options) {
  const LoadOptions load = options.load_options();
  const std::string folder = resolve_model_folder(options.model);
  std::optional<std::string> text;
  if (options.chat_template) text = read_file(*options.chat_template);
  Tokenizer tokenizer = Tokenizer::from_pretrained(folder);
  Chat chat(options, ChatSession(Model::from_pretrained(folder, Task::causal_lm, load), std::move(tokenizer), text));
  if (!chat.run()) throw Error("not every turn went well", "mica chat", "see the errors before");
}

}  // namespace

Action chat(Arguments& arguments) {
  auto options = std::make_shared<Options>();
  options->declare(arguments);
  arguments.text("--system", options->system, "the system message");
  arguments.text("--load", options->load, "a JSON file with the conversation so far", "FILE");
  arguments.text("--chat-template", options->chat_template, "a file with a chat template (default: the model's)",
                 "FILE");
  options->flags.declare(arguments);
  options->rules.declare(arguments);
  return [options] { execute(*options); };
}

}  // namespace mica::cli

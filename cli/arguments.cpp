#include "cli/arguments.h"

#include <algorithm>
#include <utility>

#include <CLI/CLI.hpp>

#include "mica/base/error.h"

namespace mica::cli {
namespace {

// CLI11 takes "[a, b]" and "{}" for lists. Texts are texts: an argument in brackets gets a mark at its end before the
// command line is parsed, and texts are taken from the raw words.
constexpr char kMark = '\x01';

std::string unmarked(std::string text) {
  if (text.ends_with(kMark)) text.pop_back();
  return text;
}

std::vector<std::string> marked(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  for (std::string& word : words) {
    if (word.starts_with('[') && word.ends_with(']')) word += kMark;
  }
  return words;
}

CLI::Option* add_text(CLI::App* app, const char* name, const char* help,
                      std::function<void(const std::string&)> receive) {
  const auto take = [receive = std::move(receive)](const CLI::results_t& words) {
    receive(unmarked(words.back()));
    return true;
  };
  return app->add_option(name, CLI::callback_t(take), help)->type_name("TEXT")->expected(1);
}

CLI::Option* bounded(CLI::Option* option, int64_t low, int64_t high) {
  return option->check(CLI::Range(low, high));
}

}  // namespace

void Arguments::flag(const char* name, bool& value, const char* help) {
  app_->add_flag(name, value, help);
}
void Arguments::text(const char* name, std::string& value, const char* help) {
  add_text(app_, name, help, [&value](const std::string& text) { value = text; });
}
void Arguments::text(const char* name, std::optional<std::string>& value, const char* help, const char* type) {
  add_text(app_, name, help, [&value](const std::string& text) { value = text; })->type_name(type);
}
void Arguments::optional_value(const char* name, std::optional<std::string>& value, const char* help) {
  const auto take = [&value](const CLI::results_t& words) {
    value = words.empty() || words.back().empty() ? "true" : unmarked(words.back());
    return true;
  };
  app_->add_option(name, CLI::callback_t(take), help)->type_name("[true|false]")->expected(0, 1);
}
void Arguments::repeated(const char* name, std::vector<std::string>& values, const char* help) {
  const auto take = [&values](const CLI::results_t& words) {
    values.clear();
    for (const std::string& word : words) values.push_back(unmarked(word));
    return true;
  };
  app_->add_option(name, CLI::callback_t(take), help)
      ->type_name("TEXT")
      ->expected(1, CLI::detail::expected_max_vector_size)
      ->allow_extra_args(false);
}
void Arguments::required_text(const char* name, std::string& value, const char* help) {
  add_text(app_, name, help, [&value](const std::string& text) { value = text; })->required();
}
void Arguments::texts(const char* name, std::vector<std::string>& values, const char* help) {
  const auto take = [&values](const CLI::results_t& words) {
    values.clear();
    for (const std::string& word : words) values.push_back(unmarked(word));
    return true;
  };
  app_->add_option(name, CLI::callback_t(take), help)
      ->type_name("TEXT")
      ->expected(1, CLI::detail::expected_max_vector_size)
      ->allow_extra_args(true);
}
void Arguments::list(const char* name, std::vector<std::string>& values, const char* help) {
  const auto take = [&values](const CLI::results_t& words) {
    values.clear();
    for (const std::string& word : words) {
      const std::string text = unmarked(word);
      for (size_t begin = 0; begin <= text.size();) {
        const size_t comma = std::min(text.find(',', begin), text.size());
        if (text == ",") {
          values.push_back(text);
          break;
        }
        if (comma > begin) values.push_back(text.substr(begin, comma - begin));
        begin = comma + 1;
      }
    }
    return true;
  };
  app_->add_option(name, CLI::callback_t(take), help)
      ->type_name("A,B,...")
      ->expected(1, CLI::detail::expected_max_vector_size)
      ->allow_extra_args(false);
}
void Arguments::integer(const char* name, int64_t& value, int64_t low, int64_t high, const char* help) {
  bounded(app_->add_option(name, value, help), low, high);
}
void Arguments::integer(const char* name, std::optional<int64_t>& value, int64_t low, int64_t high, const char* help) {
  bounded(app_->add_option(name, value, help), low, high);
}
void Arguments::choice(const char* name, std::string& value, const std::vector<std::string>& names, const char* help) {
  app_->add_option(name, value, help)->check(CLI::IsMember(names));
}

namespace {

CLI::App* add_subcommand(CLI::App& app, const Subcommand& subcommand) {
  const std::string name = subcommand.name;
  const size_t space = name.find(' ');
  if (space == std::string::npos) return app.add_subcommand(name, subcommand.help);
  const std::string group = name.substr(0, space);
  const auto known = app.get_subcommands([&](const CLI::App* part) { return part->get_name() == group; });
  CLI::App* const parent = known.empty() ? app.add_subcommand(group, "see mica " + group + " --help") : known.front();
  parent->require_subcommand(1);
  return parent->add_subcommand(name.substr(space + 1), subcommand.help);
}

// "tokenizer" of "tokenizer train".
std::string_view first_word(std::string_view name) {
  return name.substr(0, name.find(' '));
}

}  // namespace

bool run_command_line(int argc, char** argv, const std::vector<Subcommand>& subcommands,
                      const std::function<void(const std::string&)>& print) {
  CLI::App app("mica: transformer models from published folders, on the command line", "mica");
  app.require_subcommand(1);
  app.set_version_flag("--version", "mica " MICA_VERSION);
  std::vector<std::pair<CLI::App*, Action>> actions;
  for (const Subcommand& subcommand : subcommands) {
    CLI::App* part = add_subcommand(app, subcommand);
    Arguments arguments(part);
    actions.emplace_back(part, subcommand.declare(arguments));
  }
  const auto where = [&] {
    for (const auto& [part, action] : actions) {
      if (part->parsed())
        return "mica " + (part->get_parent() == &app ? "" : part->get_parent()->get_name() + " ") + part->get_name();
    }
    return std::string("mica");
  };
  try {
    std::vector<std::string> words = marked(argc, argv);
    if (!words.empty() && !words[0].starts_with('-') &&
        std::none_of(subcommands.begin(), subcommands.end(),
                     [&](const Subcommand& s) { return words[0] == first_word(s.name); })) {
      throw UsageError{"unknown subcommand \"" + printable(words[0]) + "\"", "mica", "see mica --help"};
    }
    std::reverse(words.begin(), words.end());  // as CLI11 wants them
    app.parse(std::move(words));
  } catch (const CLI::CallForVersion&) {
    print(app.version());
    return false;
  } catch (const CLI::Success&) {  // --help of the program or of a subcommand
    CLI::App* asked = &app;
    for (bool deeper = true; deeper;) {
      const auto parsed = asked->get_subcommands();
      deeper = !parsed.empty();
      if (deeper) asked = parsed.front();
    }
    std::string help = asked->help();
    while (help.ends_with('\n')) help.pop_back();
    print(help);
    return false;
  } catch (const CLI::ParseError& error) {
    throw UsageError{printable(unmarked(error.what()), 300), where(), "see " + where() + " --help"};
  }
  for (const auto& [part, action] : actions) {
    if (part->parsed()) action();
  }
  return true;
}

}  // namespace mica::cli

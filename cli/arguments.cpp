#include "cli/arguments.h"

#include <utility>

#include <CLI/CLI.hpp>

#include "mica/base/error.h"

namespace mica::cli {
namespace {

CLI::Option* bounded(CLI::Option* option, int64_t low, int64_t high) {
  return option->check(CLI::Range(low, high));
}

}  // namespace

void Arguments::flag(const char* name, bool& value, const char* help) {
  app_->add_flag(name, value, help);
}
void Arguments::text(const char* name, std::string& value, const char* help) {
  app_->add_option(name, value, help);
}
void Arguments::text(const char* name, std::optional<std::string>& value, const char* help) {
  app_->add_option(name, value, help);
}
void Arguments::required_text(const char* name, std::string& value, const char* help) {
  app_->add_option(name, value, help)->required();
}
void Arguments::texts(const char* name, std::vector<std::string>& values, const char* help) {
  app_->add_option(name, values, help);
}
void Arguments::integers(const char* name, std::vector<int64_t>& values, const char* help) {
  app_->add_option(name, values, help);
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

bool run_command_line(int argc, char** argv, const std::vector<Subcommand>& subcommands,
                      const std::function<void(const std::string&)>& print) {
  CLI::App app("mica: transformer models from published folders, on the command line", "mica");
  app.require_subcommand(1);
  app.set_version_flag("--version", "mica " MICA_VERSION);
  std::vector<std::pair<CLI::App*, Action>> actions;
  for (const Subcommand& subcommand : subcommands) {
    CLI::App* part = app.add_subcommand(subcommand.name, subcommand.help);
    Arguments arguments(part);
    actions.emplace_back(part, subcommand.declare(arguments));
  }
  const auto where = [&] {
    for (const auto& [part, action] : actions) {
      if (part->parsed()) return "mica " + part->get_name();
    }
    return std::string("mica");
  };
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForVersion&) {
    print(app.version());
    return false;
  } catch (const CLI::Success&) {  // --help of the program or of a subcommand
    CLI::App* asked = &app;
    for (const auto& [part, action] : actions) {
      if (part->parsed()) asked = part;
    }
    std::string help = asked->help();
    while (help.ends_with('\n')) help.pop_back();
    print(help);
    return false;
  } catch (const CLI::ParseError& error) {
    throw UsageError{printable(error.what(), 300), where(), "see " + where() + " --help"};
  }
  for (const auto& [part, action] : actions) {
    if (part->parsed()) action();
  }
  return true;
}

}  // namespace mica::cli

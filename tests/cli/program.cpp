#include "tests/cli/program.h"

#include <fstream>
#include <sstream>

#include "tests/support/tiny_model.h"
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace mica::testing_program {
namespace {

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void redirect(const std::string& path, int flags, int to) {
  const int from = open(path.c_str(), flags, 0600);
  if (from < 0 || dup2(from, to) < 0) _exit(126);
}

}  // namespace

Outcome mica(const std::vector<std::string>& arguments, const std::string& input) {
  std::vector<std::string> words{MICA_PROGRAM};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return run(words, input);
}

Outcome run(const std::vector<std::string>& words, const std::string& input) {
  const tiny::TemporaryFolder folder;
  tiny::write_text(folder / "in", input);
  std::vector<char*> argv;
  for (const std::string& each : words) argv.push_back(const_cast<char*>(each.c_str()));
  argv.push_back(nullptr);
  const std::string in = folder / "in", out = folder / "out", err = folder / "err";
  const pid_t child = fork();
  if (child == 0) {
    redirect(in, O_RDONLY, 0);
    redirect(out, O_WRONLY | O_CREAT, 1);
    redirect(err, O_WRONLY | O_CREAT, 2);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), content(out), content(err)};
}

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> result;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) result.push_back(line);
  return result;
}

}  // namespace mica::testing_program

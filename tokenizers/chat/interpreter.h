#pragma once
// Runs a parsed template: statements write text, expressions give values.

#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "mica/tokenizers/chat/loop.h"
#include "mica/tokenizers/chat/runtime.h"
#include "mica/tokenizers/chat/syntax.h"

namespace mica::jinja {

/// Text that is being written, counted as memory.
class Output {
 public:
  explicit Output(Meter& meter) : meter_(meter) {}
  ~Output() { meter_.give_back(static_cast<int64_t>(text_.size())); }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  void append(std::string_view text) {
    meter_.take(static_cast<int64_t>(text.size()));
    text_ += text;
  }
  const std::string& text() const { return text_; }

 private:
  Meter& meter_;
  std::string text_;
};

class Interpreter : public Runtime {
 public:
  Interpreter(const Program& program, std::string name, const ChatTemplateLimits& limits,
              std::function<std::tm()> clock);

  void set_variable(const std::string& name, Value value) { context_[name] = std::move(value); }
  /// Once.
  RenderedChat run();

  Value call(const Value& callee, Args& args) override;

 private:
  enum class Flow { normal, break_, continue_ };

  // Statements.
  Flow run(const Body& body, Frame& frame, Output& out);
  Flow run(const Stmt& statement, Frame& frame, Output& out);
  void run_loop(const Stmt& statement, Frame& frame, const Value& over, int64_t depth, Output& out);
  Flow run_with(const Stmt& statement, Frame& frame, Output& out);
  void run_generation(const Stmt& statement, Frame& frame, Output& out);
  void write(const Value& value, Output& out);
  Value captured(const Stmt& statement, Frame& frame);
  void assign(const Expr& target, Frame& frame, const Value& value);
  Value macro(const Stmt& statement, Frame& frame, std::string name);
  Value marked(const Value& value);
  Value call_macro(const Macro& macro, Args& args);
  Value call_loop(const Value& loop, Args& args);
  void check_output(const Output& out) const;

  // Expressions.
  Value eval(const Expr& node, Frame& frame);
  Value eval_name(const Expr& node, Frame& frame);
  Value eval_item(const Expr& node, Frame& frame);
  Value eval_compare(const Expr& node, Frame& frame);
  Value eval_call(const Expr& node, Frame& frame, const Value* caller);
  /// `input` stands for the body of a filter block.
  Value eval_filter(const Expr& node, Frame& frame, const Value* input);
  std::vector<Value> eval_all(const std::vector<ExprPtr>& nodes, Frame& frame);
  Value eval_or_none(const ExprPtr& node, Frame& frame);
  Args arguments(const Expr& node, Frame& frame);

  // Frames.
  Frame& enter(const Layout& layout, Frame* parent, Frame& local);
  static Value& at(Slot slot, Frame& frame);
  Value resolve(const std::string& name);
  void check_stack();

  const Program& program_;
  std::unordered_map<std::string, Value> context_;
  // Frames that a macro may look into after their body is done.
  std::deque<std::unique_ptr<Frame>> kept_;
  std::vector<Charge> kept_charges_;
  const char* stack_base_;
  int32_t calls_ = 0;
  const Output* root_ = nullptr;
  size_t root_counted_ = 0, root_length_ = 0;  // bytes of the root's text that were counted, and their code points
  std::vector<CharSpan> spans_;
};

}  // namespace mica::jinja

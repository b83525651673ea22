// Statements, macros and frames; evaluate.cpp has the expressions.

#include "mica/tokenizers/chat/interpreter.h"

#include <algorithm>
#include <limits>

#include "mica/base/error.h"
#include "mica/tokenizers/chat/globals.h"
#include "mica/tokenizers/chat/text_of.h"
#include "mica/tokenizers/utf8.h"

namespace mica::jinja {
namespace {

// Of the thread's stack, which is 8 MiB as a rule.
constexpr std::ptrdiff_t kMaxStackBytes = 2 << 20;

const char* stack_position() {
  return static_cast<const char*>(__builtin_frame_address(0));
}

// Lets go of what a loop held: a loop may be kept in a namespace that one of its elements holds.
class LoopEnd {
 public:
  explicit LoopEnd(Loop& loop) : loop_(loop) {}
  ~LoopEnd() {
    loop_.source = {};
    loop_.ahead.reset();
    loop_.current.reset();
    loop_.before.reset();
    loop_.last_changed.clear();
  }
  LoopEnd(const LoopEnd&) = delete;
  LoopEnd& operator=(const LoopEnd&) = delete;

 private:
  Loop& loop_;
};

}  // namespace

Interpreter::Interpreter(const Program& program, std::string name, const ChatTemplateLimits& limits,
                         std::function<std::tm()> clock)
    : Runtime(std::move(name), limits, std::move(clock)), program_(program), stack_base_(stack_position()) {}

RenderedChat Interpreter::run() {
  stack_base_ = stack_position();
  // A variable of the same name stands before a global function.
  for (const auto& [global, run] : global_functions()) {
    context_.try_emplace(std::string(global), function(global.data(), run));
  }
  Output out(meter_);
  root_ = &out;
  Frame local;
  run(program_.body, enter(program_.layout, nullptr, local), out);
  // Macros refer to frames, and frames to macros.
  for (const auto& frame : kept_) frame->slots.clear();
  RenderedChat result;
  result.text = out.text();
  result.generation_spans = std::move(spans_);
  return result;
}

void Interpreter::check_stack() {
  meter_.step();
  const std::ptrdiff_t used = stack_base_ - stack_position();
  if (used > kMaxStackBytes || -used > kMaxStackBytes) fail("the template nests too deep");
}

Frame& Interpreter::enter(const Layout& layout, Frame* parent, Frame& local) {
  Frame* frame = &local;
  if (layout.captured) {
    kept_charges_.emplace_back(meter_, static_cast<int64_t>(sizeof(Frame) + layout.slots.size() * sizeof(Value) + 64));
    kept_.push_back(std::make_unique<Frame>());
    frame = kept_.back().get();
  }
  frame->parent = parent;
  frame->slots.assign(layout.slots.size(), Value());
  for (size_t i = 0; i < layout.slots.size(); ++i) {
    const Layout::Entry& entry = layout.slots[i];
    if (entry.start == Layout::Start::from_context) frame->slots[i] = resolve(entry.name);
    if (entry.start == Layout::Start::from_outer) frame->slots[i] = at(entry.outer, *parent);
  }
  return *frame;
}

Value Interpreter::resolve(const std::string& name) {
  const auto it = context_.find(name);
  return it == context_.end() ? Value() : it->second;
}

Value& Interpreter::at(Slot slot, Frame& frame) {
  Frame* place = &frame;
  for (int32_t i = 0; i < slot.up; ++i) place = place->parent;
  return place->slots[static_cast<size_t>(slot.index)];
}

void Interpreter::write(const Value& value, Output& out) {
  if (value.is(Kind::string)) {
    out.append(value.as_text());
  } else {
    out.append(str(value));
  }
  check_output(out);
}

void Interpreter::check_output(const Output& out) const {
  if (static_cast<int64_t>(out.text().size()) > limits().max_output_bytes) {
    fail("the template writes more than " + std::to_string(limits().max_output_bytes) + " bytes",
         "shorten the messages, or raise max_output_bytes");
  }
}

Interpreter::Flow Interpreter::run(const Body& body, Frame& frame, Output& out) {
  for (const auto& statement : body) {
    const Flow flow = run(*statement, frame, out);
    if (flow != Flow::normal) return flow;
  }
  return Flow::normal;
}

Interpreter::Flow Interpreter::run(const Stmt& statement, Frame& frame, Output& out) {
  check_stack();
  set_line(statement.line);
  switch (statement.kind) {
    case StmtKind::text:
      out.append(statement.text);
      check_output(out);
      break;
    case StmtKind::output:
      write(eval(*statement.value, frame), out);
      break;
    case StmtKind::if_:
      for (const auto& [condition, body] : statement.branches) {
        if (truthy(eval(*condition, frame))) return run(body, frame, out);
      }
      return run(statement.other, frame, out);
    case StmtKind::for_:
      run_loop(statement, frame, eval(*statement.value, frame), 0, out);
      break;
    case StmtKind::set:
      assign(*statement.target, frame, eval(*statement.value, frame));
      break;
    case StmtKind::set_block:
      assign(*statement.target, frame, captured(statement, frame));
      break;
    case StmtKind::filter:
      write(captured(statement, frame), out);
      break;
    case StmtKind::macro:
      at(statement.slot, frame) = macro(statement, frame, statement.text);
      break;
    case StmtKind::call: {
      const Value caller = macro(statement, frame, "caller");
      write(eval_call(*statement.value, frame, &caller), out);
      break;
    }
    case StmtKind::with:
      return run_with(statement, frame, out);
    case StmtKind::generation:
      run_generation(statement, frame, out);
      break;
    case StmtKind::break_:
      return Flow::break_;
    case StmtKind::continue_:
      return Flow::continue_;
  }
  return Flow::normal;
}

// The body's text, through the filter if there is one.
Value Interpreter::captured(const Stmt& statement, Frame& frame) {
  Frame local;
  Frame& inner = enter(statement.layout, &frame, local);
  Output buffer(meter_);
  run(statement.body, inner, buffer);
  const Value value = text(buffer.text());
  return statement.value ? eval_filter(*statement.value, inner, &value) : value;
}

Interpreter::Flow Interpreter::run_with(const Stmt& statement, Frame& frame, Output& out) {
  Frame local;
  Frame& inner = enter(statement.layout, &frame, local);
  for (const auto& [target, value] : statement.assignments) assign(*target, inner, eval(*value, frame));
  return run(statement.body, inner, out);
}

void Interpreter::run_generation(const Stmt& statement, Frame& frame, Output& out) {
  Frame local;
  Output buffer(meter_);
  run(statement.body, enter(statement.layout, &frame, local), buffer);
  // Where the whole text stands so far, inside a macro too: as the reference counts.
  root_length_ += utf8::count(std::string_view(root_->text()).substr(root_counted_));
  root_counted_ = root_->text().size();
  const auto begin = static_cast<int32_t>(root_length_);
  spans_.push_back({begin, begin + static_cast<int32_t>(utf8::count(buffer.text()))});
  out.append(buffer.text());
  check_output(out);
}

void Interpreter::run_loop(const Stmt& statement, Frame& frame, const Value& over, int64_t depth, Output& out) {
  auto loop = std::make_shared<Loop>();
  const LoopEnd end(*loop);
  loop->statement = &statement;
  loop->outer = &frame;
  loop->depth0 = depth;
  if (over.is(Kind::iterator)) {
    loop->source.iterator = std::static_pointer_cast<Iterator>(over.pointer());
  } else {
    loop->source.values = iterate(over);
    if (!statement.condition) loop->length = static_cast<int64_t>(loop->source.values.size());
  }
  if (statement.condition) {
    loop->source.passes = [&](const Value& value) {
      Frame local;
      Frame& inner = enter(statement.test_layout, &frame, local);
      assign(*statement.condition_target, inner, value);
      return truthy(eval(*statement.condition, inner));
    };
  }
  const Value variable = statement.extended ? make(Kind::loop, loop, 0) : Value();
  bool any = false;
  Frame local;
  while (loop->advance()) {
    check_stack();
    any = true;
    Frame& inner = enter(statement.layout, &frame, local);
    if (statement.extended) at(statement.loop_slot, inner) = variable;
    assign(*statement.target, inner, *loop->current);
    if (run(statement.body, inner, out) == Flow::break_) break;
  }
  if (!any) {
    Frame other;
    run(statement.other, enter(statement.else_layout, &frame, other), out);
  }
}

void Interpreter::assign(const Expr& target, Frame& frame, const Value& value) {
  switch (target.kind) {
    case ExprKind::name:
      at(target.slot, frame) = value;
      return;
    case ExprKind::names_entry: {
      const Value names = at(target.children[0]->slot, frame);
      if (!names.is(Kind::names)) fail("can't assign to an attribute of anything but a namespace");
      if (target.text.starts_with('_')) fail("a namespace can't hold \"" + target.text + "\": the name starts with _");
      names.object<Names>().values.set(text(target.text), value);
      return;
    }
    default: {
      check_defined(value);
      const std::vector<Value> values = iterate(value);
      if (values.size() != target.children.size()) {
        fail("can't unpack " + std::to_string(values.size()) + " values into " +
             std::to_string(target.children.size()) + " names");
      }
      for (size_t i = 0; i < values.size(); ++i) assign(*target.children[i], frame, values[i]);
    }
  }
}

Value Interpreter::macro(const Stmt& statement, Frame& frame, std::string name) {
  auto object = std::make_shared<Macro>();
  object->statement = &statement;
  object->outer = &frame;
  object->name = std::move(name);
  return make(Kind::macro, std::move(object), 0);
}

// What a method makes of marked text is marked too.
Value Interpreter::marked(const Value& value) {
  if (value.is(Kind::string)) return Value(value).set_markup(true);
  if (!value.is(Kind::list) && !value.is(Kind::tuple)) return value;
  std::vector<Value> parts;
  for (const Value& part : value.items()) parts.push_back(marked(part));
  return value.is(Kind::list) ? list(std::move(parts)) : tuple(std::move(parts));
}

Value Interpreter::call(const Value& callee, Args& args) {
  check_stack();
  check_defined(callee);
  switch (callee.kind()) {
    case Kind::function: {
      const Function& function = callee.object<Function>();
      const Value result = function.run(*this, function.self, args);
      return function.self.markup() ? marked(result) : result;
    }
    case Kind::macro:
      return call_macro(callee.object<Macro>(), args);
    case Kind::loop:
      return call_loop(callee, args);
    case Kind::joiner: {
      Joiner& joiner = callee.object<Joiner>();
      if (std::exchange(joiner.used, true)) return joiner.separator;
      return text("");
    }
    default:
      fail(std::string("a value of type ") + type_name(callee) + " can't be called");
  }
}

namespace {

// Counts calls inside calls.
class CallDepth {
 public:
  CallDepth(int32_t& calls, const Runtime& runtime) : calls_(calls) {
    if (calls_ >= runtime.limits().max_calls) {
      runtime.fail("macros call each other more than " + std::to_string(runtime.limits().max_calls) + " deep");
    }
    ++calls_;
  }
  ~CallDepth() { --calls_; }
  CallDepth(const CallDepth&) = delete;
  CallDepth& operator=(const CallDepth&) = delete;

 private:
  int32_t& calls_;
};

}  // namespace

Value Interpreter::call_macro(const Macro& macro, Args& args) {
  const CallDepth depth(calls_, *this);
  const Stmt& statement = *macro.statement;
  const std::string shown = "macro \"" + printable(macro.name, 60) + "\"";
  Frame local;
  Frame& frame = enter(statement.layout, macro.outer, local);
  const size_t count = statement.parameters.size();
  const auto take = [&](const std::string& name) {
    const auto same = [&](const auto& named) { return named.first == name; };
    const auto it = std::find_if(args.named.begin(), args.named.end(), same);
    if (it == args.named.end()) return Value();
    Value value = it->second;
    args.named.erase(it);
    return value;
  };
  for (size_t i = 0; i < count; ++i) {
    const Stmt::Parameter& parameter = statement.parameters[i];
    at(parameter.slot, frame) = i < args.positional.size() ? args.positional[i] : take(parameter.name);
  }
  if (statement.has_caller) {
    Value caller = take("caller");
    at(statement.caller_slot, frame) =
        caller.is(Kind::missing) || caller.is(Kind::none) ? Value::undefined("No caller defined") : std::move(caller);
  }
  if (statement.has_kwargs) {
    std::vector<std::pair<Value, Value>> entries;
    for (auto& [name, value] : args.named) entries.emplace_back(text(name), std::move(value));
    at(statement.kwargs_slot, frame) = dict(std::move(entries));
  } else if (!args.named.empty()) {
    fail(shown + " has no parameter \"" + printable(args.named[0].first, 60) + "\"");
  }
  if (statement.has_varargs) {
    const size_t used = std::min(count, args.positional.size());
    at(statement.varargs_slot, frame) =
        tuple({args.positional.begin() + static_cast<std::ptrdiff_t>(used), args.positional.end()});
  } else if (args.positional.size() > count) {
    fail(shown + " takes no more than " + std::to_string(count) + " arguments");
  }
  for (const Stmt::Parameter& parameter : statement.parameters) {
    Value& value = at(parameter.slot, frame);
    if (!value.is(Kind::missing)) continue;
    value = parameter.fallback ? eval(*parameter.fallback, frame)
                               : Value::undefined("parameter '" + printable(parameter.name, 60) + "' was not provided");
  }
  Output buffer(meter_);
  run(statement.body, frame, buffer);
  return text(buffer.text());
}

Value Interpreter::call_loop(const Value& value, Args& args) {
  const CallDepth depth(calls_, *this);
  const Loop& loop = value.object<Loop>();
  if (!loop.statement->recursive) fail("only a loop marked recursive can be called");
  if (args.positional.size() != 1 || !args.named.empty()) fail("loop() takes what to go through, and nothing else");
  Output buffer(meter_);
  run_loop(*loop.statement, *loop.outer, args.positional[0], loop.depth0 + 1, buffer);
  return text(buffer.text());
}

}  // namespace mica::jinja

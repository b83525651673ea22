// Which frame each variable of a template lives in. Jinja decides this before it runs anything: a name that a body sets
// is the body's own from its start on, begins there as the outer variable of that name (or as nothing), and is gone
// behind it; bodies of `if` share the frame around them; all else comes from the template's arguments.

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "mica/tokenizers/chat/parser.h"

namespace mica::jinja {
namespace {

class Symbols {
 public:
  enum class Load { parameter, nothing, context, outer };

  Symbols(Symbols* parent, Layout& layout) : parent_(parent), layout_(&layout) {}

  void declare_parameter(const std::string& name) {
    stores_.insert(name);
    loads_[name] = Load::parameter;
  }
  void store(const std::string& name) {
    stores_.insert(name);
    if (loads_.count(name) == 0)
      loads_[name] = parent_ != nullptr && parent_->knows(name) ? Load::outer : Load::nothing;
  }
  void load(const std::string& name) {
    if (!knows(name)) loads_[name] = Load::context;
  }

  /// The branches of an if, each a copy of this one that has seen its part. What only some of them set is, where they
  /// did not run, what it was before.
  void merge(const std::vector<Symbols>& branches) {
    std::map<std::string, size_t> set_in;
    for (const Symbols& branch : branches) {
      for (const std::string& name : branch.stores_) {
        if (stores_.count(name) == 0) ++set_in[name];
      }
    }
    for (const Symbols& branch : branches) {
      for (const auto& [name, how] : branch.loads_) loads_[name] = how;
      stores_.insert(branch.stores_.begin(), branch.stores_.end());
    }
    for (const auto& [name, count] : set_in) {
      if (count == branches.size()) continue;
      loads_[name] = parent_ != nullptr && parent_->knows(name) ? Load::outer : Load::context;
    }
  }

  bool knows(const std::string& name) const {
    return loads_.count(name) > 0 || (parent_ != nullptr && parent_->knows(name));
  }

  /// Fixes the frame's layout; called when all is declared.
  void lay_out() {
    for (const auto& [name, how] : loads_) {
      index_[name] = static_cast<int32_t>(layout_->slots.size());
      Layout::Entry entry;
      entry.name = name;
      if (how == Load::context) entry.start = Layout::Start::from_context;
      if (how == Load::outer) {
        entry.start = Layout::Start::from_outer;
        entry.outer = parent_->slot(name);
      }
      layout_->slots.push_back(std::move(entry));
    }
  }

  Slot slot(const std::string& name) {
    if (const auto it = index_.find(name); it != index_.end()) return {0, it->second};
    if (parent_ != nullptr && parent_->knows(name)) {
      Slot outer = parent_->slot(name);
      ++outer.up;
      return outer;
    }
    // A name that no pass has announced: the arguments have it, or nobody.
    const auto index = static_cast<int32_t>(layout_->slots.size());
    layout_->slots.push_back({name, Layout::Start::from_context, {}});
    loads_[name] = Load::context;
    index_[name] = index;
    return {0, index};
  }

  /// Something inside may keep the frame, and those around it, beyond its body.
  void capture() {
    for (Symbols* each = this; each != nullptr; each = each->parent_) each->layout_->captured = true;
  }

 private:
  Symbols* parent_;
  Layout* layout_;
  std::map<std::string, Load> loads_;
  std::map<std::string, int32_t> index_;
  std::set<std::string> stores_;
};

// First pass over one frame: which names it loads and stores, in order, without looking into inner frames.
class Survey {
 public:
  explicit Survey(Symbols& symbols) : symbols_(&symbols) {}

  void load(const Expr* node) {
    if (node == nullptr) return;
    if (node->kind == ExprKind::name) symbols_->load(node->text);
    for (const ExprPtr& child : node->children) load(child.get());
    for (const ExprPtr& child : node->positional) load(child.get());
    for (const auto& [name, child] : node->named) load(child.get());
    load(node->star.get());
    load(node->star_star.get());
  }

  void store(const Expr& target, bool parameter = false) {
    if (target.kind == ExprKind::name) {
      parameter ? symbols_->declare_parameter(target.text) : symbols_->store(target.text);
    } else if (target.kind == ExprKind::names_entry) {
      symbols_->load(target.children[0]->text);
    } else {
      for (const ExprPtr& child : target.children) store(*child, parameter);
    }
  }

  void body(const Body& statements) {
    for (const auto& statement : statements) one(*statement);
  }

 private:
  void one(const Stmt& statement) {
    switch (statement.kind) {
      case StmtKind::if_:
        if_branches(statement, 0);
        break;
      case StmtKind::set:
        load(statement.value.get());
        store(*statement.target);
        break;
      case StmtKind::set_block:
        store(*statement.target);
        break;
      case StmtKind::macro:
        symbols_->store(statement.text);
        break;
      case StmtKind::with:
        for (const auto& [name, value] : statement.assignments) load(value.get());
        break;
      case StmtKind::output:
      case StmtKind::for_:
      case StmtKind::call:
      case StmtKind::filter:
        load(statement.value.get());
        break;
      default:
        break;
    }
  }

  // An elif is an if beside the others: the reference sees all of them as one set of branches.
  void if_branches(const Stmt& statement, size_t from) {
    load(statement.branches[from].first.get());
    Symbols* const own = symbols_;
    std::vector<Symbols> branches(3, *own);
    symbols_ = &branches[0];
    body(statement.branches[from].second);
    symbols_ = &branches[1];
    for (size_t i = from + 1; i < statement.branches.size(); ++i) elif (statement, i);
    symbols_ = &branches[2];
    body(statement.other);
    symbols_ = own;
    symbols_->merge(branches);
  }

  void elif (const Stmt& statement, size_t i) {
    load(statement.branches[i].first.get());
    Symbols* const own = symbols_;
    std::vector<Symbols> branches(3, *own);
    symbols_ = &branches[0];
    body(statement.branches[i].second);
    symbols_ = own;
    symbols_->merge(branches);
  }

  Symbols* symbols_;
};

// Whether the body reads one of the special names of a macro or loop, at any depth.
class Mentions {
 public:
  explicit Mentions(std::string name) : name_(std::move(name)) {}

  bool in(const Body& statements) const {
    return std::any_of(statements.begin(), statements.end(), [&](const auto& statement) { return in(*statement); });
  }

 private:
  bool in(const Expr* node) const {
    if (node == nullptr) return false;
    if (node->kind == ExprKind::name && node->text == name_) return true;
    const auto any = [&](const auto& nodes) {
      return std::any_of(nodes.begin(), nodes.end(), [&](const ExprPtr& child) { return in(child.get()); });
    };
    return any(node->children) || any(node->positional) || in(node->star.get()) || in(node->star_star.get()) ||
           std::any_of(node->named.begin(), node->named.end(), [&](const auto& a) { return in(a.second.get()); });
  }
  bool in(const Stmt& statement) const {
    if (in(statement.value.get()) || in(statement.condition.get()) || in(statement.body) || in(statement.other)) {
      return true;
    }
    for (const auto& [condition, body] : statement.branches) {
      if (in(condition.get()) || in(body)) return true;
    }
    for (const auto& [target, value] : statement.assignments) {
      if (in(value.get())) return true;
    }
    return std::any_of(statement.parameters.begin(), statement.parameters.end(),
                       [&](const auto& parameter) { return in(parameter.fallback.get()); });
  }

  std::string name_;
};

// Second pass: gives slots, frame by frame.
class Resolver {
 public:
  void root(Program& program) {
    Symbols symbols(nullptr, program.layout);
    Survey(symbols).body(program.body);
    symbols.lay_out();
    body(program.body, symbols);
  }

 private:
  void load(Expr* node, Symbols& symbols) {
    if (node == nullptr) return;
    if (node->kind == ExprKind::name) node->slot = symbols.slot(node->text);
    for (const ExprPtr& child : node->children) load(child.get(), symbols);
    for (const ExprPtr& child : node->positional) load(child.get(), symbols);
    for (const auto& [name, child] : node->named) load(child.get(), symbols);
    load(node->star.get(), symbols);
    load(node->star_star.get(), symbols);
  }

  void body(Body& statements, Symbols& symbols) {
    for (auto& statement : statements) one(*statement, symbols);
  }

  void one(Stmt& statement, Symbols& symbols) {
    switch (statement.kind) {
      case StmtKind::output:
        return load(statement.value.get(), symbols);
      case StmtKind::if_:
        for (auto& [condition, branch] : statement.branches) {
          load(condition.get(), symbols);
          body(branch, symbols);
        }
        return body(statement.other, symbols);
      case StmtKind::set:
        load(statement.value.get(), symbols);
        return load(statement.target.get(), symbols);
      case StmtKind::set_block: {
        load(statement.target.get(), symbols);
        Symbols inner(&symbols, statement.layout);
        Survey survey(inner);
        survey.body(statement.body);
        survey.load(statement.value.get());
        inner.lay_out();
        body(statement.body, inner);
        return load(statement.value.get(), inner);
      }
      case StmtKind::for_:
        return loop(statement, symbols);
      case StmtKind::macro:
        statement.slot = symbols.slot(statement.text);
        return function(statement, symbols);
      case StmtKind::call:
        load(statement.value.get(), symbols);
        return function(statement, symbols);
      case StmtKind::generation:
        return function(statement, symbols);
      case StmtKind::filter: {
        Symbols inner(&symbols, statement.layout);
        Survey survey(inner);
        survey.body(statement.body);
        survey.load(statement.value.get());
        inner.lay_out();
        body(statement.body, inner);
        return load(statement.value.get(), inner);
      }
      case StmtKind::with: {
        Symbols inner(&symbols, statement.layout);
        Survey survey(inner);
        for (auto& [target, value] : statement.assignments) survey.store(*target);
        survey.body(statement.body);
        inner.lay_out();
        for (auto& [target, value] : statement.assignments) {
          load(value.get(), symbols);
          load(target.get(), inner);
        }
        return body(statement.body, inner);
      }
      default:
        return;
    }
  }

  static ExprPtr copy(const Expr& target) {
    auto result = std::make_unique<Expr>();
    result->kind = target.kind;
    result->line = target.line;
    result->text = target.text;
    for (const ExprPtr& child : target.children) result->children.push_back(copy(*child));
    return result;
  }

  void loop(Stmt& statement, Symbols& symbols) {
    load(statement.value.get(), symbols);
    // A recursive loop is called through its variable, even where only the call to it is written.
    statement.extended = statement.recursive || Mentions("loop").in(statement.body);
    if (statement.recursive) symbols.capture();
    if (statement.condition) {
      Symbols inner(&symbols, statement.test_layout);
      Survey survey(inner);
      survey.store(*statement.target, true);
      survey.load(statement.condition.get());
      inner.lay_out();
      load(statement.condition.get(), inner);
      // The target's slots are those of the body; the condition has a frame of its own.
      statement.condition_target = copy(*statement.target);
      load(statement.condition_target.get(), inner);
    }
    {
      Symbols inner(&symbols, statement.layout);
      Survey survey(inner);
      if (statement.extended) inner.declare_parameter("loop");
      survey.store(*statement.target, true);
      survey.body(statement.body);
      inner.lay_out();
      if (statement.extended) statement.loop_slot = inner.slot("loop");
      load(statement.target.get(), inner);
      body(statement.body, inner);
    }
    Symbols inner(&symbols, statement.else_layout);
    Survey(inner).body(statement.other);
    inner.lay_out();
    body(statement.other, inner);
  }

  void function(Stmt& statement, Symbols& symbols) {
    symbols.capture();
    Symbols inner(&symbols, statement.layout);
    Survey survey(inner);
    for (const auto& parameter : statement.parameters) inner.declare_parameter(parameter.name);
    for (const auto& parameter : statement.parameters) survey.load(parameter.fallback.get());
    survey.body(statement.body);
    const auto special = [&](const char* name, bool& has) {
      has = Mentions(name).in(statement.body);
      const auto same = [&](const auto& parameter) { return parameter.name == name; };
      if (std::any_of(statement.parameters.begin(), statement.parameters.end(), same)) has = false;
      if (has) inner.declare_parameter(name);
    };
    special("caller", statement.has_caller);
    special("varargs", statement.has_varargs);
    special("kwargs", statement.has_kwargs);
    inner.lay_out();
    for (auto& parameter : statement.parameters) {
      parameter.slot = inner.slot(parameter.name);
      load(parameter.fallback.get(), inner);
    }
    if (statement.has_caller) statement.caller_slot = inner.slot("caller");
    if (statement.has_varargs) statement.varargs_slot = inner.slot("varargs");
    if (statement.has_kwargs) statement.kwargs_slot = inner.slot("kwargs");
    body(statement.body, inner);
  }
};

}  // namespace

void resolve_names(Program& program) {
  Resolver().root(program);
}

}  // namespace mica::jinja

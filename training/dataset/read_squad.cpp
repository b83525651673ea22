// SQuAD's JSON (Rajpurkar et al. 2016, 2018), flattened: a row a question.
//
//   {"data": [{"title": T, "paragraphs": [{"context": C, "qas": [
//       {"id": I, "question": Q, "answers": [{"text": A, "answer_start": S}, ...]}, ...]}, ...]}, ...]}
//
// gives rows of id, title, context, question, and answers {text: [A, ...], answer_start: [S, ...]}, both lists empty
// for questions that have no answer. Starts are counted in Unicode code points.

#include "mica/base/error.h"
#include "mica/training/dataset/readers.h"

namespace mica {
namespace {

constexpr size_t kMaxFile = size_t{4} << 30;

// Walks down the file and remembers the way, for errors.
class Node {
 public:
  Node(const Json& json, std::string path, const std::string& where)
      : json_(json), path_(std::move(path)), where_(where) {}

  Node key(const char* name) const {
    if (!json_.is_object() || !json_.contains(name)) fail("has no \"" + std::string(name) + "\"");
    return {json_.at(name), path_ + "." + name, where_};
  }
  bool has(const char* name) const { return json_.is_object() && json_.contains(name); }
  std::string text() const {
    if (!json_.is_string()) fail("is no text");
    return json_.get<std::string>();
  }
  int64_t integer() const {
    if (!json_.is_number_integer() || json_ > INT64_MAX) fail("is no integer");
    return json_.get<int64_t>();
  }
  template <typename Function>
  void each(const Function& function) const {
    if (!json_.is_array()) fail("is no list");
    size_t i = 0;
    for (const Json& item : json_) function(Node(item, path_ + "[" + std::to_string(i++) + "]", where_));
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(path_ + " " + what, where_, "the file must be laid out as SQuAD's are");
  }
  const Json& json_;
  std::string path_;
  const std::string& where_;
};

Value answers_of(const Node& question) {
  std::vector<std::string> texts;
  std::vector<int64_t> starts;
  if (question.has("answers")) {
    question.key("answers").each([&](const Node& answer) {
      texts.push_back(answer.key("text").text());
      starts.push_back(answer.key("answer_start").integer());
    });
  }
  return Value::structure({{"text", texts}, {"answer_start", std::move(starts)}});
}

}  // namespace

bool is_squad(const Json& json) {
  if (!json.is_object() || !json.contains("data") || !json.at("data").is_array() || json.at("data").empty())
    return false;
  const Json& first = json.at("data").front();
  return first.is_object() && first.contains("paragraphs");
}

void add_squad(const Json& json, const std::string& where, RowGatherer& rows) {
  Node(json, "file", where).key("data").each([&](const Node& article) {
    const Value title = article.has("title") ? Value(article.key("title").text()) : Value("");
    article.key("paragraphs").each([&](const Node& paragraph) {
      const Value context = paragraph.key("context").text();
      paragraph.key("qas").each([&](const Node& question) {
        rows.add(std::vector<Value::Field>{{"id", question.key("id").text()},
                                           {"title", title},
                                           {"context", context},
                                           {"question", question.key("question").text()},
                                           {"answers", answers_of(question)}});
      });
    });
  });
}

void read_squad(TextLines& lines, RowGatherer& rows) {
  const std::string text = lines.rest(kMaxFile);
  add_squad(parse_json(text, lines.where()), lines.where(), rows);
}

}  // namespace mica

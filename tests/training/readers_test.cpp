// Data sets out of files.

#include <algorithm>

#include <gtest/gtest.h>
#include <zlib.h>

#include "mica/base/file.h"
#include "mica/tests/training/dataset_support.h"

namespace mica {
namespace {

using Strings = std::vector<std::string>;

std::string slice(const std::string& name) {
  return std::string(MICA_SOURCE_DIR) + "/tests/data/datasets/" + name;
}

class Readers : public testing::Test {
 protected:
  // The path of a file of that content.
  std::string file(const std::string& name, const std::string& content) const {
    tiny::write_text(folder_ / name, content);
    return folder_ / name;
  }
  std::string compressed(const std::string& name, const std::string& content) const {
    const gzFile out = gzopen((folder_ / name).c_str(), "wb");
    gzwrite(out, content.data(), static_cast<unsigned>(content.size()));
    gzclose(out);
    return folder_ / name;
  }
  tiny::TemporaryFolder folder_;
};

TEST_F(Readers, JsonLines) {
  const Dataset dataset = Dataset::from_jsonl(slice("polarity.jsonl"));
  EXPECT_EQ(dataset.size(), 24);
  EXPECT_EQ(dataset.features().text(), "{text: string, label: int64}");
  EXPECT_EQ(dataset[0], (Example{{"text", "a tour de force of modern cinema ."}, {"label", 1}}));
}

TEST_F(Readers, JsonLinesOfAllTypes) {
  const Dataset dataset = Dataset::from_jsonl(file(
      "a.jsonl", "{\"a\": 1, \"s\": {\"x\": [1, 2.5], \"y\": null}}\r\n\n{\"b\": [\"\\u00e9\", null], \"a\": -2.5}\n"));
  EXPECT_EQ(dataset.features().text(), "{a: float64, s: {x: list<float64>, y: null}, b: list<string>}");
  EXPECT_EQ(dataset[1]["b"].at(0), Value("\xC3\xA9"));
  EXPECT_TRUE(dataset[1]["s"].is_null());
  EXPECT_TRUE(dataset[0]["b"].is_null());
}

TEST_F(Readers, JsonLinesErrorsNameTheLine) {
  const auto read = [&](const std::string& text) { Dataset::from_jsonl(file("e.jsonl", text)); };
  EXPECT_ERROR(read("{\"a\": 1}\n{\"a\": \"x\"}\n"), "e.jsonl line 2, column \"a\" of row 1");
  EXPECT_ERROR(read("{\"a\": [1]}\n\n{\"a\": [\"x\"]}\n"), "e.jsonl line 3, column \"a\" of row 1");
  EXPECT_ERROR(read("{\"a\": {\"b\": 1}}\n{\"a\": {\"b\": true}}\n"), "e.jsonl line 2, column \"a\" of row 1");
  EXPECT_ERROR(read("{\"a\": 1}\n{\"a\": \n"), "e.jsonl line 2");
  EXPECT_ERROR(read("[1]\n"), "no JSON object");
  EXPECT_ERROR(read("{\"a\": 18446744073709551615}\n"), "beyond");
  EXPECT_ERROR(Dataset::from_jsonl(folder_ / "none.jsonl"), "no such file");
}

TEST_F(Readers, Gzip) {
  const Dataset dataset = Dataset::from_file(slice("wnut17.jsonl.gz"));
  EXPECT_EQ(dataset.size(), 10);
  EXPECT_EQ(dataset[0]["tokens"].at(0), Value("@paulwalk"));
  const std::string whole = read_file(slice("wnut17.jsonl.gz"));
  EXPECT_ERROR(Dataset::from_jsonl(file("cut.jsonl.gz", whole.substr(0, whole.size() / 2))), "gzip");
  std::string damaged = whole;
  damaged[whole.size() / 2] ^= 0x55;
  EXPECT_ERROR(Dataset::from_jsonl(file("bad.jsonl.gz", damaged)), "bad.jsonl.gz");
}

TEST_F(Readers, Json) {
  const auto rows = [&](const std::string& text) { return Dataset::from_json(file("a.json", text)); };
  EXPECT_EQ(rows("[{\"a\": 1},\n {\"a\": 2}]")[1]["a"], Value(2));
  EXPECT_EQ(rows("{\"data\": [{\"a\": 1}]}").size(), 1);
  EXPECT_EQ(rows("{\"a\": 1}\n{\"a\": 2}\n").size(), 2) << "lines after all";
  EXPECT_EQ(rows("{\"a\": 1}").size(), 1);
  EXPECT_TRUE(rows(" \n").empty());
  EXPECT_ERROR(rows("[{\"a\": 1}, 2]"), "item 1 is no JSON object");
  EXPECT_ERROR(rows("{\"a\": 1}\n{\"a\": }\n"), "a.json line 2");
  EXPECT_ERROR(rows("{\"a\":\n"), "a.json");
}

TEST_F(Readers, Squad) {
  const Dataset dataset = Dataset::from_file(slice("xquad.en.json.gz"));
  EXPECT_EQ(dataset.features().text(),
            "{id: string, title: string, context: string, question: string, "
            "answers: {text: list<string>, answer_start: list<int64>}}");
  EXPECT_EQ(dataset[0]["id"], Value("56beb4343aeaaa14008c925b"));
  for (const Example& row : dataset) {
    // Starts count code points; these contexts need not be ASCII.
    const std::string_view context = row["context"];
    const std::string answer(row["answers"]["text"].at(0).as_string());
    int64_t left = row["answers"]["answer_start"].as_ints()[0];
    size_t at = 0;
    for (; left > 0; --left) {
      do {
        ++at;
      } while (at < context.size() && (static_cast<unsigned char>(context[at]) & 0xC0) == 0x80);
    }
    EXPECT_EQ(context.substr(at, answer.size()), answer) << row["id"].as_string();
  }
  const auto read = [&](const std::string& text) { Dataset::from_squad(file("s.json", text)); };
  EXPECT_ERROR(read("{\"data\": [{\"paragraphs\": [{\"context\": \"c\"}]}]}"),
               "file.data[0].paragraphs[0] has no \"qas\"");
  EXPECT_ERROR(read("{\"data\": [{\"paragraphs\": [{\"context\": \"c\", \"qas\": [{\"id\": 1}]}]}]}"),
               "file.data[0].paragraphs[0].qas[0].id is no text");
}

TEST_F(Readers, Csv) {
  const Dataset csv = Dataset::from_file(slice("polarity.csv")), lines = Dataset::from_file(slice("polarity.jsonl"));
  ASSERT_EQ(csv.size(), lines.size());
  for (int64_t i = 0; i < csv.size(); ++i) EXPECT_EQ(csv[i], lines[i]);
}

TEST_F(Readers, CsvQuotingAndTypes) {
  const Dataset dataset = Dataset::from_csv(file("a.csv",
                                                 "\xEF\xBB\xBFtext,int,float,flag,code,hole\r\n"
                                                 "\"a, \"\"b\"\"\r\nc\",1,1.5,true,007,\r\n"
                                                 "\r\n"
                                                 "d\"e,-2,-.5e2,False,8,\"\"\r\n"
                                                 "\"\",,3,,,\n"
                                                 "last,4,0.25,TRUE,9,"));
  EXPECT_EQ(dataset.features().text(),
            "{text: string, int: int64, float: float64, flag: bool, code: string, hole: string}");
  EXPECT_EQ(dataset.size(), 4);
  EXPECT_EQ(dataset[0]["text"], Value("a, \"b\"\r\nc"));
  EXPECT_EQ(dataset[1]["text"], Value("d\"e"));
  EXPECT_EQ(dataset[2]["text"], Value("")) << "quoted: empty, not null";
  EXPECT_TRUE(dataset[2]["int"].is_null());
  EXPECT_EQ(dataset[1]["float"], Value(-50.0));
  EXPECT_EQ(dataset[0]["code"], Value("007"));
  EXPECT_EQ(dataset[3]["flag"], Value(true));
  EXPECT_EQ(dataset[1]["hole"], Value(""));
  EXPECT_TRUE(dataset[3]["hole"].is_null());
}

TEST_F(Readers, CsvOptions) {
  const std::string path = file("a.tsv", "x\t\"y\nNA\tz\n");
  const Dataset dataset = Dataset::from_csv(
      path, {.delimiter = '\t', .quote = '\0', .header = false, .column_names = {"a", "b"}, .null_values = {"NA"}});
  EXPECT_EQ(dataset[0], (Example{{"a", "x"}, {"b", "\"y"}}));
  EXPECT_TRUE(dataset[1]["a"].is_null());
  EXPECT_ERROR(Dataset::from_file(path), "a.tsv line 1");
  EXPECT_EQ(Dataset::from_csv(file("h.csv", "p,q\n1,2\n"), {.column_names = {"a", "b"}})[0]["b"], Value(2));
}

TEST_F(Readers, CsvErrorsNameTheLine) {
  const auto read = [&](const std::string& text) { Dataset::from_csv(file("e.csv", text)); };
  EXPECT_ERROR(read("a,b\n1,2\n3\n"), "1 fields in a row of 2 columns (" + folder_.path() + "/e.csv line 3)");
  EXPECT_ERROR(read("a,b\n1,\"x\n\n\n"), "e.csv line 2");
  EXPECT_ERROR(read("a,b\n1,\"x\"y\n"), "text after a closing quote");
  EXPECT_ERROR(read(""), "the file is empty");
  EXPECT_ERROR(read("a,a\n"), "two columns are called \"a\"");
  EXPECT_ERROR(Dataset::from_csv(file("e.csv", "1,2\n"), {.header = false}), "column_names");
}

TEST_F(Readers, Text) {
  const Dataset lines = Dataset::from_file(slice("shakespeare.txt"));
  EXPECT_EQ(lines.size(), 30);
  EXPECT_EQ(lines[0]["text"], Value("First Citizen:"));
  EXPECT_EQ(lines[2]["text"], Value("")) << "blank lines are rows";
  const Dataset paragraphs = Dataset::from_text(slice("shakespeare.txt"), {.sample_by = TextUnit::paragraph});
  EXPECT_EQ(paragraphs[0]["text"], Value("First Citizen:\nBefore we proceed any further, hear me speak."));
  const Dataset document = Dataset::from_text(slice("shakespeare.txt"), {.sample_by = TextUnit::document});
  EXPECT_EQ(document[0]["text"].as_string(), read_file(slice("shakespeare.txt")));
  EXPECT_EQ(Dataset::from_text(file("none.txt", "")).column_names(), (Strings{"text"}));
}

TEST_F(Readers, Conll) {
  const Dataset conll = Dataset::from_file(slice("wnut17.conll")), lines = Dataset::from_file(slice("wnut17.jsonl.gz"));
  ASSERT_EQ(conll.size(), lines.size());
  for (int64_t i = 0; i < conll.size(); ++i) EXPECT_EQ(conll[i], lines[i]);
}

TEST_F(Readers, ConllOfSeveralKinds) {
  const Dataset spaces =
      Dataset::from_conll(file("a.conll", "-DOCSTART- -X- O O\n\nEU NNP B-NP B-ORG\n# NN B-NP O\n\n\nfine  JJ O O \n"),
                          {.columns = {{"tokens", 0}, {"pos", 1}, {"ner", -1}}});
  EXPECT_EQ(spaces.size(), 2);
  EXPECT_EQ(spaces[0]["tokens"].as_strings(), (Strings{"EU", "#"}));
  EXPECT_EQ(spaces[0]["ner"].as_strings(), (Strings{"B-ORG", "O"}));
  EXPECT_EQ(spaces[1]["pos"].as_strings(), (Strings{"JJ"}));
  const Dataset universal =
      Dataset::from_file(file("a.conllu",
                              "# sent_id = 1\n# text = vámonos\n1-2\tvámonos\t_\t_\t_\t_\t_\t_\t_\t_\n"
                              "1\tvamos\tir\tVERB\tv\t_\t0\troot\t_\t_\n2\tnos\tnosotros\tPRON\tp\t_\t1\tobj\t_\t_\n"
                              "2.1\tx\t_\t_\t_\t_\t_\t_\t_\t_\n\n"));
  EXPECT_EQ(universal[0]["tokens"].as_strings(), (Strings{"vamos", "nos"}));
  EXPECT_EQ(universal[0]["upos"].as_strings(), (Strings{"VERB", "PRON"}));
}

TEST_F(Readers, ConllErrorsNameTheLine) {
  const auto read = [&](const std::string& text) { Dataset::from_conll(file("e.conll", text)); };
  EXPECT_ERROR(read("a O\nb\n"), "e.conll line 2");
  EXPECT_ERROR(read("a\nb\n"), "the line has 1");
  EXPECT_ERROR(Dataset::from_conll(file("e.conll", "a O\n"), {.columns = {{"x", 2}}}), "no field 2");
  EXPECT_ERROR(Dataset::from_conll(file("e.conll", "a O\n"), {.columns = {}}), "no columns");
}

TEST_F(Readers, TheNameTellsTheReader) {
  EXPECT_EQ(Dataset::from_file(compressed("A.CSV.gz", "a,b\n1,2\n"))[0]["b"], Value(2));
  EXPECT_ERROR(Dataset::from_file(file("a.bin", "")), "the name does not tell");
}

TEST_F(Readers, LongLinesCrossBuffers) {
  std::string text;
  for (int i = 0; i < 20; ++i) text += std::string(static_cast<size_t>(40'000 + i), 'x') + "\n";
  const Dataset dataset = Dataset::from_text(compressed("long.txt.gz", text));
  ASSERT_EQ(dataset.size(), 20);
  for (int64_t i = 0; i < 20; ++i) EXPECT_EQ(dataset[i]["text"].as_string().size(), static_cast<size_t>(40'000 + i));
}

}  // namespace
}  // namespace mica

// Which of these sentences mean the same? similarity [model]
#include <iostream>

#include <mica/mica.h>
using namespace mica;

int main(int argc, char** argv) try {
  SentenceTransformer model(argc > 1 ? argv[1] : "sentence-transformers/all-MiniLM-L6-v2");
  std::vector<std::string> corpus = {"A man is eating food.", "A cheetah chases its prey.", "The girl carries a baby."};
  Tensor embeddings = model.encode(corpus);
  Tensor query = model.encode("Someone is having a meal.");

  Tensor scores = model.similarity(query, embeddings);  // [1, 3]
  std::cout << "best: " << corpus[scores.argmax(-1).item<int64_t>()] << "\n";

  auto hits = semantic_search(query, embeddings, {.top_k = 2});  // a list for each query
  for (const SearchHit& hit : hits[0]) {
    std::cout << hit.score << "  " << corpus[hit.corpus_id] << "\n";
  }
  for (const ParaphrasePair& pair : paraphrase_mining(model, corpus)) {
    std::cout << pair.score << "  " << corpus[pair.first] << " / " << corpus[pair.second] << "\n";
  }
} catch (const Error& error) {
  std::cerr << error.what() << "\n";
  return 1;
}

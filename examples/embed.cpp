// Sentence vectors: embed [model]
#include <iostream>

#include <mica/mica.h>
using namespace mica;

int main(int argc, char** argv) try {
  SentenceTransformer model(argc > 1 ? argv[1] : "sentence-transformers/all-MiniLM-L6-v2");
  Tensor embeddings = model.encode({"I love machine learning", "I am expert in AI"});
  std::cout << to_string(embeddings.shape()) << "\n";  // [2, 384]
} catch (const Error& error) {
  std::cerr << error.what() << "\n";
  return 1;
}

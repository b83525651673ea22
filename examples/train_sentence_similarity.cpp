// Trains sentence embeddings on questions and their answers: train_sentence_similarity [model] [output]
#include <iostream>

#include <mica/mica.h>
using namespace mica;

int main(int argc, char** argv) try {
  const std::string name = argc > 1 ? argv[1] : "sentence-transformers/all-MiniLM-L6-v2";
  const std::string output = argc > 2 ? argv[2] : "my-embeddings";

  SentenceTransformer model(name);
  Dataset pairs = Dataset::from_dict(
      {{"anchor", {"Where does Ada live?", "How long is the river?", "Who wrote the letter?", "Is the city old?"}},
       {"positive",
        {"Ada lives in Turin.", "It is 650 km long.", "The letter is by Grace.", "It was founded in 28 BC."}}});

  // Every other row's answer counts as a wrong one.
  SentenceTransformerTrainer trainer(model,
                                     {.output_dir = output,
                                      .per_device_train_batch_size = 4,
                                      .num_train_epochs = 3,
                                      .learning_rate = 2e-5,
                                      .logging_steps = 1},
                                     pairs, {.eval_dataset = pairs, .how = {.loss = "multiple_negatives_ranking"}});
  const TrainOutput result = trainer.train();
  std::cout << "steps: " << result.global_step << ", mean loss: " << result.training_loss << '\n';
  for (const auto& [metric, value] : trainer.evaluate()) {
    if (metric == "eval_cosine_ndcg@10") std::cout << metric << ": " << value << '\n';
  }
  model.save_pretrained(output);

  const Tensor vectors =
      SentenceTransformer(output).encode({"Where is Ada?", "Ada lives in Turin.", "It is 650 km long."});
  const std::vector<float> scores = model.similarity(vectors.slice(0, 0, 1), vectors.slice(0, 1, 3)).to_vector<float>();
  std::cout << "similarities: " << scores[0] << ", " << scores[1] << '\n';
} catch (const Error& error) {
  std::cerr << error.what() << '\n';
  return 1;
}

#pragma once
// The stack: embeddings and layers of attention and MLP, told by its spec what to be. A decoder is one stack, an
// encoder-decoder two, and encoders that share the parts of decoders (rotary positions, gated MLPs) are one as well.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mica/models/architectures/network.h"
#include "mica/models/modules/attention.h"
#include "mica/models/modules/cache.h"
#include "mica/models/modules/experts.h"
#include "mica/models/modules/local_global.h"
#include "mica/models/modules/mlp.h"
#include "mica/models/modules/norm.h"
#include "mica/models/modules/positions.h"
#include "mica/models/modules/rotary.h"
#include "mica/models/scope.h"

namespace mica {

/// Positions that are added to the embeddings; rotary ones and biases are the attention's.
enum class PositionTable : uint8_t {
  none,
  learned,
  sinusoidal,  ///< computed, see SinusoidKind
};

/// What embedding_scale is for.
enum class EmbeddingScale : uint8_t {
  table,  ///< every look-up of a word, also a caller's
  words,  ///< words that the stack looks up for ids
  all,    ///< those and embeddings that a call gives
};

/// How a token's row in the position table is counted.
enum class PositionRule : uint8_t {
  from_zero,
  from_mask,  ///< over the tokens that the attention mask shows; the others get -1
  /// Over the tokens whose id is not the padding's; those get -1. Positions that a call gives are the table's own rows.
  from_padding,
};

/// Names on disk below the base prefix (the norms': below a layer's); empty: the family has no such part.
struct StackNames {
  std::string word_embeddings = "embed_tokens";
  std::string position_embeddings = "embed_positions";
  std::string type_embeddings;
  std::string embeddings_norm;
  std::string project_in, project_out;  ///< where embedding_size differs from hidden_size
  std::string layers = "layers";        ///< followed by the layer's number
  std::string rotary;                   ///< the module whose "inv_freq" files hold; empty: frequencies are computed
  // Norms before a part, of its result before it is added, and of the sum.
  std::string attention_norm = "input_layernorm", attention_post_norm, attention_sum_norm;
  std::string cross_norm, cross_sum_norm;
  std::string mlp_norm = "post_attention_layernorm", mlp_post_norm, mlp_sum_norm;
  std::string final_norm = "norm";
  std::string pooler;
};

/// A linear layer that files hold and hidden states do not pass (a head on attention's weights): kept for who saves.
struct KeptLinear {
  std::string name;
  int64_t in = 0, out = 0;
};

struct LayerSpec {
  AttentionSpec attention;
  std::optional<AttentionSpec> cross;  ///< attends to an encoder
  MlpSpec mlp;
  ExpertsSpec experts;  ///< in place of the MLP where there are any
};

struct StackSpec {
  int64_t vocab_size = 0;
  int64_t embedding_size = 0;
  int64_t hidden_size = 0;
  int64_t max_position_embeddings = 0;
  int64_t padding_idx = -1;  ///< the row of the word table that gets no gradient
  PositionTable positions = PositionTable::none;
  SinusoidKind sinusoid = SinusoidKind::halves;
  PositionRule position_rule = PositionRule::from_zero;
  int64_t position_offset = 0;        ///< of the table's row
  int64_t position_padding_idx = -1;  ///< the row of the position table that gets no gradient
  bool types_are_words = false;       ///< token types are rows of the word table (GPT-2)
  int64_t type_vocab_size = 0;
  double embedding_scale = 1;  ///< of the words' embeddings
  EmbeddingScale scaled = EmbeddingScale::table;
  bool sinusoidal_start = false;       ///< the learned table starts as sines, and files may leave it out
  bool norm_before_positions = false;  ///< the embeddings' norm, of the words alone
  /// Words, types and positions have embedding_size; their sum is normalised, then projected with a bias, and stays so.
  /// Otherwise the words alone are projected, and the result back.
  bool project_sum = false;
  bool hidden_are_zero = false;  ///< embeddings of tokens that the mask hides
  /// Embeddings of this token are zeros; those of its text are scaled by (1 - mask_share) / (1 - its share of the
  /// text), so that they are as large as in training. -1: none
  int64_t zeroed_token_id = -1;
  double mask_share = 0;
  NormSpec norm;          ///< of all norms of the stack
  bool parallel = false;  ///< attention and MLP read the same states; their results are added to them together
  bool residual_from_norm = false;                                ///< the sum starts from the normalised states
  bool first_norm = true;                                         ///< the first layer has an attention_norm
  double residual_scale = 1;                                      ///< of a part's result before it is added
  double logits_scale = 1, logits_softcap = 0, hidden_scale = 1;  ///< see NetworkShape
  double embedding_dropout = 0, hidden_dropout = 0, final_dropout = 0;
  /// Whether calls without a cache say how routers spread their tokens (modules/router_balance.h), and the share of
  /// that in the loss of predicting the next token.
  bool balances_routers = false;
  double router_aux_loss_coef = 0;
  std::vector<RotarySpec> rotary;
  std::vector<LayerSpec> layers;
  std::vector<KeptLinear> kept;
  /// In place of the layers' own self-attention, of which only the output's projection then stays.
  std::optional<LocalGlobalSpec> local_global;
  StackNames names;

  /// The same layer `count` times.
  void repeat(const LayerSpec& layer, int64_t count) { layers.assign(static_cast<size_t>(count), layer); }
};

/// Turns norms of sums into norms before each part, and one at the end.
void put_norms_before(StackSpec* spec);

/// Keys and values of an encoder's states, a pair a layer, and where its sequences lie.
struct CrossStates {
  std::vector<std::pair<Tensor, Tensor>> key_values;
  SequenceOffsets offsets;
  Tensor key_mask;
};

/// What depends on positions, for steps whose positions lie on the device: a row for each position.
struct StepTables {
  std::vector<Tensor> rotary;  ///< of each of the stack's: [positions, size], cosines and then sines
};

class Stack {
 public:
  /// `shared_words`: a word table of another stack in place of one of its own.
  Stack(const Scope& scope, StackSpec spec, const Tensor& shared_words = {});

  struct Output {
    Tensor hidden;
    std::vector<Tensor> hidden_states;
    Tensor load_balancing_loss;  ///< where the spec balances routers
  };
  /// `cache`: what came before these rows, to which they are added. `cross`: for layers with cross-attention.
  /// `tables`: for rows whose position_ids lie on the device, see step_tables().
  Output operator()(const Rows& rows, KeyValueCache* cache = nullptr, const CrossStates* cross = nullptr,
                    const StepTables* tables = nullptr) const;
  /// Tables for positions below `positions`; none where something else of a step is made on the host, too.
  std::optional<StepTables> step_tables(int64_t positions, Device device) const;
  /// Of an encoder's states, for every layer.
  CrossStates cross_states(const Tensor& encoder_hidden, const Rows& encoder_rows) const;

  const StackSpec& spec() const { return spec_; }
  const Tensor& words() const { return words_; }

 private:
  struct Layer {
    Attention attention;
    Linear attention_output;  // where attention_ mixes
    std::optional<Attention> cross;
    Mlp mlp;
    Experts experts;
    Norm attention_norm, attention_post_norm, attention_sum_norm;
    Norm cross_norm, cross_sum_norm;
    Norm mlp_norm, mlp_post_norm, mlp_sum_norm;
  };
  struct Call;  // what the layers of one call share
  void check_prefix(const Rows& rows, const KeyValueCache* cache) const;

  Tensor sinusoid_table(int64_t rows) const;
  Tensor embed(const Rows& rows, std::span<const int64_t> positions) const;
  Tensor embed_positions(const Rows& rows, std::span<const int64_t> positions) const;
  RecycledVector<RotaryAngles> angles(const Rows& rows, std::span<const int64_t> positions, DType dtype,
                                      const StepTables* tables) const;
  Tensor zero_masked_words(const Tensor& x, const Rows& rows) const;
  /// Whether the rows' positions lie on the device, and the host knows nothing of them.
  static bool on_device(const Rows& rows) {
    return rows.position_ids.defined() && !rows.position_ids.device().is_cpu();
  }
  RecycledVector<int64_t> positions_of(const Rows& rows, const KeyValueCache* cache) const;
  RecycledVector<int64_t> position_rows(const Rows& rows, std::span<const int64_t> positions) const;
  Tensor relative_bias(const Tensor& table, const RelativeBiasSpec& spec, const Rows& rows,
                       const KeyValueCache* cache) const;
  /// x between layers, and the norm of it that comes next, where it was made on the way.
  struct Step {
    Tensor x, normed;
    Tensor balance;  // of the layer's router, where it is asked for
  };
  Step run(const Layer& layer, size_t index, const Step& input, const Call& call, const Norm* next) const;
  Tensor feed_forward(const Layer& layer, const Tensor& x, const After& after, const Call& call, Step* result) const;
  Step run_checkpointed(size_t index, const Tensor& x, const Call& call, const std::shared_ptr<const void>& held) const;
  template <typename Part>
  Tensor join(const Part& part, const Tensor& residual, const Norm& post_norm, const Norm& sum_norm, double dropout,
              const Norm* next = nullptr, Tensor* normed = nullptr) const;

  StackSpec spec_;
  DType product_dtype_;
  Tensor words_, position_table_, types_;
  Norm embeddings_norm_, final_norm_;
  Linear project_in_, project_out_;
  std::vector<Rotary> rotary_;
  std::vector<Layer> layers_;
  std::unique_ptr<SelfAttention> attention_;  // in place of the layers' own
};

}  // namespace mica

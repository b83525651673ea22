#include "mica/autograd/embedding.h"

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "mica/autograd/tape.h"
#include "mica/base/error.h"
#include "mica/kernels/embedding.h"

namespace mica {
namespace {

constexpr size_t kMaxTerms = 4;

void check(const EmbeddingTerm& term, const EmbeddingTerm& first) {
  if (term.table.rank() != 2 || term.ids.dtype() != DType::int64 || term.table.size(1) != first.table.size(1) ||
      !(term.ids.shape() == first.ids.shape())) {
    throw Error("table " + to_string(term.table.shape()) + ", ids " + to_string(term.ids.shape()) + " " +
                    std::string(name(term.ids.dtype())),
                "embedding", "need table [rows, size] and ids of dtype int64");
  }
  if (!term.ids.device().is_cpu()) return;
  const int64_t rows = term.table.size(0);
  const Tensor ids = term.ids.contiguous();
  const int64_t* values = ids.data<int64_t>();
  for (int64_t i = 0; i < ids.numel(); ++i) {
    if (values[i] < 0 || values[i] >= rows) {
      throw Error("id " + std::to_string(values[i]) + " at position " + std::to_string(i) + " of a table of " +
                      std::to_string(rows) + " rows",
                  "embedding",
                  "use ids from 0 to " + std::to_string(rows - 1) + " (does the tokenizer fit the model?)");
    }
  }
}

// Adds a table's gradient to the one that the table has already (tied to a language head, or of an earlier batch),
// where nobody else sees that one: only rows that were looked up are made apart, not a second table. The bits are the
// same: the parts of a row are summed before they are added. False: nothing was done.
bool add_to_gradient(const Tensor& table, const Tensor& ids, const Tensor& dy, int64_t padding_idx) {
  if (!table.defined() || !table.device().is_cpu()) return false;
  const auto& meta = table.autograd_meta();
  if (meta == nullptr || meta->node != nullptr || !meta->grad.defined()) return false;
  const Tensor& gradient = meta->grad;
  if (gradient.storage().use_count() > 1 || !gradient.is_contiguous() || gradient.dtype() != dy.dtype()) return false;
  std::unordered_map<int64_t, int64_t> places;
  std::vector<int64_t> rows, index;
  for (const int64_t id : ids.to_vector<int64_t>()) {
    const auto [found, added] = places.emplace(id, static_cast<int64_t>(rows.size()));
    if (added) rows.push_back(id);
    index.push_back(found->second);
  }
  const auto padding = places.find(padding_idx);
  EmbeddingKernels& kernels = backend(dy.device()).embedding();
  const Tensor sums = Tensor::zeros({static_cast<int64_t>(rows.size()), dy.size(1)}, dy.dtype(), dy.device());
  kernels.backward(dy.view(), Tensor::from(index).view(), padding == places.end() ? -1 : padding->second, sums.view());
  kernels.backward(sums.view(), Tensor::from(rows).view(), padding_idx, gradient.view());
  return true;
}

}  // namespace

Tensor embedding(const Tensor& table, const Tensor& ids, int64_t padding_idx) {
  const EmbeddingTerm term[] = {{table, ids, padding_idx}};
  return embedding_sum(term);
}

Tensor embedding_sum(std::span<const EmbeddingTerm> terms) {
  if (terms.empty() || terms.size() > kMaxTerms)
    throw Error("needs 1 to 4 terms", "embedding_sum", "pass fewer tables");
  const EmbeddingTerm& first = terms[0];
  View tables[kMaxTerms];
  View ids[kMaxTerms];
  std::array<Tensor, kMaxTerms> flat_ids;
  bool tracked = false;
  for (size_t i = 0; i < terms.size(); ++i) {
    check(terms[i], first);
    check_devices("embedding", {&first.table, &terms[i].table});
    const Device device = terms[i].table.device();
    flat_ids[i] = terms[i].ids.contiguous().reshape({terms[i].ids.numel()}).to(device);
    tables[i] = terms[i].table.view();
    ids[i] = flat_ids[i].view();
    tracked = tracked || wants_grad({&terms[i].table});
  }
  Backend& device = backend(first.table.device());
  const int64_t size = first.table.size(1);
  Tensor y =
      Tensor::empty({first.ids.numel(), size}, device.activation_dtype(first.table.dtype()), first.table.device());
  device.embedding().forward_sum(tables, ids, static_cast<int>(terms.size()), y.view());
  std::array<int64_t, kMaxRank + 1> dims{};
  std::copy(first.ids.shape().begin(), first.ids.shape().end(), dims.begin());
  dims[static_cast<size_t>(first.ids.rank())] = size;
  y = y.reshape(Shape(std::span<const int64_t>(dims.data(), static_cast<size_t>(first.ids.rank()) + 1)));
  if (tracked) {
    struct Kept {
      Tensor ids;
      Tensor table;  // a leaf; others need not be kept
      Shape table_shape;
      DType table_type;
      int64_t padding_idx;
      bool wanted;
    };
    std::vector<Kept> kept;
    std::vector<Tensor> inputs;
    for (size_t i = 0; i < terms.size(); ++i) {
      const Tensor& table = terms[i].table;
      const bool leaf = table.autograd_meta() != nullptr && table.autograd_meta()->node == nullptr;
      kept.push_back({flat_ids[i], leaf ? table : Tensor(), terms[i].table.shape(), terms[i].table.dtype(),
                      terms[i].padding_idx, terms[i].table.requires_grad()});
      inputs.push_back(terms[i].table);
    }
    record("embedding", inputs, {y}, [kept, size](const std::vector<Tensor>& g) -> std::vector<Tensor> {
      const Tensor dy = g[0].contiguous().reshape({kept[0].ids.numel(), size});
      std::vector<Tensor> gradients;
      for (const Kept& term : kept) {
        if (!term.wanted || add_to_gradient(term.table, term.ids, dy, term.padding_idx)) {
          gradients.emplace_back();
          continue;
        }
        const Tensor dtable = Tensor::zeros(term.table_shape, dy.dtype(), dy.device());
        backend(dy.device()).embedding().backward(dy.view(), term.ids.view(), term.padding_idx, dtable.view());
        gradients.push_back(dtable.to(term.table_type));
      }
      return gradients;
    });
  }
  return y;
}

}  // namespace mica

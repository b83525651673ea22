// One step of each optimizer, and the global norm, over the parameters of a model of BERT's base size: 110 million in
// 199 tensors. GB/s counts what a step must move at least, once each: for AdamW 28 bytes a parameter.

#include <memory>
#include <string>

#include "mica/bench/peak.h"
#include "mica/kernels/optimizer.h"

namespace mica::bench {
namespace {

View view_of(float* data, int64_t rows, int64_t columns) {
  View view{.data = data, .dtype = DType::float32, .rank = rows > 0 ? 2 : 1};
  if (rows > 0) {
    view.shape = {rows, columns};
    view.strides = {columns, 1};
  } else {
    view.shape = {columns};
    view.strides = {1};
  }
  return view;
}

// Parameters, gradients and two moments, in the shapes of BERT's base model.
struct Model {
  std::vector<std::pair<int64_t, int64_t>> shapes{{30522, 768}, {512, 768}, {2, 768}, {0, 768}, {0, 768}};
  int64_t elements = 0;
  std::unique_ptr<Array> arrays[4];
  std::vector<std::array<View, 4>> tensors;
  Array factors{1 << 18};
  std::vector<std::array<View, 2>> rows_and_columns;

  Model() {
    for (int layer = 0; layer < 12; ++layer) {
      for (int i = 0; i < 4; ++i) shapes.insert(shapes.end(), {{768, 768}, {0, 768}});
      shapes.insert(shapes.end(),
                    {{0, 768}, {0, 768}, {3072, 768}, {0, 3072}, {768, 3072}, {0, 768}, {0, 768}, {0, 768}});
    }
    shapes.insert(shapes.end(), {{768, 768}, {0, 768}});
    for (const auto& [rows, columns] : shapes) elements += std::max<int64_t>(1, rows) * columns;
    for (auto& array : arrays) array = std::make_unique<Array>(elements);
    for (int64_t i = 0; i < elements; ++i) arrays[3]->get()[i] = 0.5F;  // second moments
    for (int64_t i = 0; i < 1 << 18; ++i) factors.get()[i] = 0.5F;
    int64_t at = 0, factor_at = 0;
    for (const auto& [rows, columns] : shapes) {
      auto& views = tensors.emplace_back();
      for (size_t k = 0; k < 4; ++k) views[k] = view_of(arrays[k]->get() + at, rows, columns);
      at += std::max<int64_t>(1, rows) * columns;
      auto& factor = rows_and_columns.emplace_back();
      if (rows > 0)
        factor = {view_of(factors.get() + factor_at, 0, rows), view_of(factors.get() + factor_at + rows, 0, columns)};
      factor_at += rows > 0 ? rows + columns : 0;
    }
  }
};

template <typename Body>
void add(const std::string& name, double bytes, const Body& body) {
  for (const int threads : {1, 2}) {
    benchmark::RegisterBenchmark((name + "/threads:" + std::to_string(threads)).c_str(),
                                 [=](benchmark::State& state) {
                                   static Model model;
                                   report(state, static_cast<double>(model.elements), threads, false,
                                          [&] { body(model, backend(Device{}).optimizer()); });
                                   state.counters["GB_s"] =
                                       bytes * static_cast<double>(model.elements) / state.counters["us"] / 1e3;
                                 })
        ->UseManualTime()
        ->MinTime(1);
  }
}

void add_all() {
  add("adamw", 28, [](const Model& model, OptimizerKernels& kernels) {
    std::vector<AdamWItem> items;
    for (const auto& [p, g, m, v] : model.tensors) {
      items.push_back({.parameter = p,
                       .gradient = g,
                       .mean = m,
                       .variance = v,
                       .lr = 1e-5,
                       .beta1 = 0.9,
                       .beta2 = 0.999,
                       .eps = 1e-8,
                       .weight_decay = 0.01,
                       .step = 10});
    }
    kernels.adamw(items, 0.5);
  });
  add("sgd_momentum", 20, [](const Model& model, OptimizerKernels& kernels) {
    std::vector<SgdItem> items;
    for (const auto& [p, g, m, v] : model.tensors) {
      items.push_back({.parameter = p, .gradient = g, .buffer = m, .lr = 1e-5, .momentum = 0.9});
    }
    kernels.sgd(items, 0.5);
  });
  add("lion", 20, [](const Model& model, OptimizerKernels& kernels) {
    std::vector<LionItem> items;
    for (const auto& [p, g, m, v] : model.tensors) {
      items.push_back({.parameter = p, .gradient = g, .mean = m, .lr = 1e-5, .beta1 = 0.9, .beta2 = 0.99});
    }
    kernels.lion(items, 0.5);
  });
  add("adafactor", 24, [](const Model& model, OptimizerKernels& kernels) {
    std::vector<AdafactorItem> items;
    for (size_t i = 0; i < model.tensors.size(); ++i) {
      const auto& [p, g, m, v] = model.tensors[i];
      const auto& [row, column] = model.rows_and_columns[i];
      items.push_back({.parameter = p,
                       .gradient = g,
                       .mean = {},
                       .row = row,
                       .column = column,
                       .variance = row ? View{} : v,
                       .lr = 1e-5,
                       .beta2 = 0.99,
                       .eps = 1e-30,
                       .eps_scale = 1e-3,
                       .scale_parameter = true});
    }
    kernels.adafactor(items, 0.5);
  });
  add("sum_of_squares", 4, [](const Model& model, OptimizerKernels& kernels) {
    std::vector<View> gradients;
    for (const auto& views : model.tensors) gradients.push_back(views[1]);
    double sum = 0;
    kernels.sum_of_squares(gradients, {.data = &sum, .dtype = DType::float64, .rank = 0});
    benchmark::DoNotOptimize(sum);
  });
}

}  // namespace
}  // namespace mica::bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  mica::bench::add_all();
  benchmark::RunSpecifiedBenchmarks();
}

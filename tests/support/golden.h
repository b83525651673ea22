#pragma once
// Golden cases: a model of every family and head, run once with the reference. tests/golden/README.md describes the
// files; the weights are not stored, a rule makes them from their names.

#include <ostream>
#include <string>
#include <vector>

#include "mica/models/auto/model.h"
#include "mica/tests/support/guarded_device.h"

namespace mica::golden {

/// A case's files, below the folder of its model type.
struct Case {
  std::string model_type, task;
  std::string name;  ///< of the file: the task, and a variant's name behind a dot
  std::string json_path, tensors_path;
};

/// What a test's output shows of a case.
inline std::ostream& operator<<(std::ostream& out, const Case& which) {
  return out << which.json_path;
}

/// All cases of a folder, by name; aliases (tasks served by another case) are left out.
std::vector<Case> find_cases(const std::string& folder);

/// The i-th number of the hash stream of `text`, in [-1, 1).
double uniform(const std::string& text, long long i);

/// Gives a model's parameters the values that the rule makes from their names.
void fill_by_rule(const Model& model);

/// Runs one case: builds the model from its config, checks names and shapes, fills the weights, compares outputs, loss,
/// gradients and greedy tokens. Returns what differs, one line each; empty when the case passes.
std::vector<std::string> run(const Case& which, Device device = test::test_device());

}  // namespace mica::golden

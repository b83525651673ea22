#pragma once
// Internal: a column as tensors of a safetensors file.

#include <memory>
#include <string>

#include "mica/base/json.h"
#include "mica/tensor/safetensors.h"
#include "mica/training/dataset/column.h"

namespace mica {

/// {"type": "list", "item": {...}}, {"type": "struct", "fields": [{"name": N, ...}, ...]}, {"type": "class_label",
/// "names": [...]}, or {"type": "null" | "bool" | "int64" | "float64" | "string"}.
Json feature_json(const Feature& feature);
/// Throws Error for anything malformed.
Feature feature_of(const Json& json, const std::string& where);
/// int64 in place of class labels, at any depth: what columns know.
Feature without_names(const Feature& feature);

/// Adds the column's tensors, all names beginning with `name`; returns its type, with the numbers of rows.
Json write_column(const Column& column, const std::string& name, NamedTensors* tensors);
/// A column that shows the file's bytes. Throws Error where tensors are missing or of another size than the rows'
/// number demands. (What offsets hold is checked when cells are read.)
std::shared_ptr<const Column> read_column(const SafeTensors& file, const std::string& name, const Json& type);

}  // namespace mica

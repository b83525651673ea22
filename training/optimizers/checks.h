#pragma once
// Ranges of optimizers' settings.

#include <limits>

namespace mica {

constexpr double kAnySetting = std::numeric_limits<double>::max();

/// Throws Error, naming the optimizer and the setting, unless low <= value <= high (value < high where the upper end
/// does not belong). NaN is out of every range.
void check_setting(const char* optimizer, const char* setting, double value, double low, double high,
                   bool with_high = true);

}  // namespace mica

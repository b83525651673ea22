#include "mica/training/optimizers/checks.h"

#include <sstream>

#include "mica/base/error.h"

namespace mica {

void check_setting(const char* optimizer, const char* setting, double value, double low, double high, bool with_high) {
  if (value >= low && (value < high || (with_high && value == high))) return;
  std::ostringstream problem, mend;
  problem << setting << " " << value;
  mend << "use a number of at least " << low;
  if (high < kAnySetting) mend << (with_high ? " and at most " : " and below ") << high;
  throw Error(problem.str(), optimizer, mend.str());
}

}  // namespace mica

#pragma once
// The subcommands, one file each.

#include "cli/arguments.h"

namespace mica::cli {

Action bench(Arguments& arguments);
Action embed(Arguments& arguments);
Action run(Arguments& arguments);

}  // namespace mica::cli

#pragma once
// The subcommands, one file each.

#include "cli/arguments.h"

namespace mica::cli {

Action answer(Arguments& arguments);
Action bench(Arguments& arguments);
Action chat(Arguments& arguments);
Action chat_template(Arguments& arguments);
Action classify(Arguments& arguments);
Action decode(Arguments& arguments);
Action embed(Arguments& arguments);
Action fill(Arguments& arguments);
Action generate(Arguments& arguments);
Action info(Arguments& arguments);
Action rank(Arguments& arguments);
Action run(Arguments& arguments);
Action tag(Arguments& arguments);
Action tokenize(Arguments& arguments);
Action tokenizer_train(Arguments& arguments);
Action train(Arguments& arguments);

}  // namespace mica::cli

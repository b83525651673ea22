#pragma once
// Threads that stand for the processes of a group.

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "mica/training/distributed/communicator.h"

namespace mica::test {

/// Runs `body` once for each rank, each in a thread; what each threw, "" for nothing. A communicator goes with the end
/// of its body.
inline std::vector<std::string> in_group(int size,
                                         const std::function<void(const std::shared_ptr<Communicator>&)>& body) {
  std::vector<std::string> errors(static_cast<size_t>(size));
  std::vector<std::shared_ptr<Communicator>> group = thread_communicators(size);
  std::vector<std::jthread> threads;
  for (size_t rank = 0; rank < errors.size(); ++rank) {
    threads.emplace_back([&error = errors[rank], mine = std::move(group[rank]), &body]() mutable {
      try {
        body(mine);
      } catch (const std::exception& thrown) {
        error = thrown.what();
      }
      mine.reset();
    });
  }
  threads.clear();
  return errors;
}

}  // namespace mica::test

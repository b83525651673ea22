#include "mica/training/distributed/communicator.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace mica {
namespace {

constexpr size_t kMostText = 2000;  // bytes of each part of an error that travel

Error error_of(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return {"not enough memory", "training", "use a smaller batch or a smaller model"};
  } catch (const std::exception& error) {
    return {printable(error.what(), 300), "training", ""};
  } catch (...) {
    return {"an exception of an unknown kind", "training", ""};
  }
}

std::string cut(const std::string& text) {
  return text.substr(0, kMostText);
}

std::string broadcast_from(Communicator& group, int root, const std::string& text) {
  Tensor length = Tensor::from(std::vector<int64_t>{static_cast<int64_t>(text.size())});
  group.broadcast(length, root);
  const auto bytes = length.item<int64_t>();
  if (bytes == 0) return "";
  const Tensor content = Tensor::zeros({bytes}, DType::uint8);
  if (group.rank() == root) std::memcpy(content.raw_data(), text.data(), text.size());
  group.broadcast(content, root);
  return {static_cast<const char*>(content.raw_data()), static_cast<size_t>(bytes)};
}

}  // namespace

Communicator::~Communicator() = default;

void agree(const std::shared_ptr<Communicator>& group, const std::exception_ptr& failure) {
  if (size_of(group) == 1) {
    if (failure) std::rethrow_exception(failure);
    return;
  }
  const Tensor all = Tensor::zeros({group->size(), 1}, DType::int64);
  group->all_gather(Tensor::from(std::vector<int64_t>{failure ? 1 : 0}), all);
  const auto failed = all.to_vector<int64_t>();
  const auto first = std::find(failed.begin(), failed.end(), 1);
  if (first == failed.end()) return;
  const auto rank = static_cast<int>(first - failed.begin());
  const Error mine = failure ? error_of(failure) : Error("", "", "");
  const std::string problem = broadcast_from(*group, rank, cut(mine.problem()));
  const std::string where = broadcast_from(*group, rank, cut(mine.where()));
  const std::string mend = broadcast_from(*group, rank, cut(mine.mend()));
  throw GroupError(Error(problem, where, mend), rank);
}

void together(const std::shared_ptr<Communicator>& group, const std::function<void()>& part) {
  if (size_of(group) == 1) return part();
  std::exception_ptr failure;
  try {
    part();
  } catch (...) {
    failure = std::current_exception();
  }
  agree(group, failure);
}

std::string broadcast_text(const std::shared_ptr<Communicator>& group, const std::string& text) {
  return size_of(group) == 1 ? text : broadcast_from(*group, 0, text);
}

}  // namespace mica

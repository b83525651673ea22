#pragma once
// Words of tweets, as NLTK's TweetTokenizer cuts them: addresses, telephone numbers, emoticons, tags, arrows, names,
// hashtags, e-mail, words with apostrophes and dashes, numbers, dots, and whatever else is no white space. Its regular
// expression by hand, in time proportional to the text.

#include <vector>

#include "mica/tokenizers/placed_text.h"

namespace mica {

/// The words' places in the text, first and behind the last.
struct TweetWord {
  size_t begin, end;
};
std::vector<TweetWord> tweet_words(const PlacedText& text);

}  // namespace mica

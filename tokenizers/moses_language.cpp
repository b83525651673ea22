#include "mica/tokenizers/moses_language.h"

#include "mica/base/error.h"
#include "mica/tokenizers/word_list.h"

namespace mica::moses {
namespace {

// The lists of the Moses toolkit (nonbreaking_prefixes); "a..z" stands for the letters or numbers from one to the
// other.

constexpr std::string_view kGerman =
    "A..Z a..z 1..99 II III IV VI VII VIII IX XI XII XIII XIV XV XVI XVII XVIII XIX XX ii iii iv vi vii "
    "viii ix xi xii xiii xiv xv xvi xvii xviii xix xx Adj Adm Adv Asst Bart Bldg Brig Bros Capt Cmdr Col "
    "Comdr Con Corp Cpl DR Dr Ens Gen Gov Hon Hosp Insp Lt MM MR MRS MS Maj Messrs Mlle Mme Mr Mrs Ms "
    "Msgr Op Ord Pfc Ph Prof Pvt Rep Reps Res Rev Rt Sen Sens Sfc Sgt Sr St Supt Surg Mio Mrd bzw vs usw "
    "d.h z.B u.a etc MwSt ggf d.J D.h m.E vgl I.F z.T sogen ff u.E g.U g.g.A c.-à-d Buchst u.s.w sog u.ä "
    "Std evtl Zt Chr u.U o.ä Ltd b.A z.Zt spp sen SA k.o jun i.H.v dgl dergl Co zzt usf s.p.a Dkr bzgl "
    "BSE No Nos Art Nr pp ca Ca";
constexpr std::string_view kEnglish =
    "A..Z Adj Adm Adv Asst Bart Bldg Brig Bros Capt Cmdr Col Comdr Con Corp Cpl DR Dr Drs Ens Gen Gov Hon "
    "Hr Hosp Insp Lt MM MR MRS MS Maj Messrs Mlle Mme Mr Mrs Ms Msgr Op Ord Pfc Ph Prof Pvt Rep Reps Res "
    "Rev Rt Sen Sens Sfc Sgt Sr St Supt Surg v vs i.e rev e.g Rs Nos Nr Jan Feb Mar Apr Jun Jul Aug Sep "
    "Oct Nov Dec";
constexpr std::string_view kFrench =
    "A..Z b..z A.C.N A.M art ann apr av auj lib B.P boul ca c.-à-d cf ch.-l chap contr C.P.I C.Q.F.D C.N "
    "C.N.S C.S dir éd e.g env al etc E.V ex fasc fém fig fr hab ibid id i.e inf LL.AA LL.AA.II LL.AA.RR "
    "LL.AA.SS L.D LL.EE LL.MM LL.MM.II.RR loc.cit masc MM ms N.B N.D.A N.D.L.R N.D.T n/réf NN.SS N.S N.D "
    "N.P.A.I p.c.c pl pp p.ex p.j P.S R.A.S R.-V R.P R.I.P SS S.S S.A S.A.I S.A.R S.A.S S.E sec sect sing "
    "S.M S.M.I.R sq sqq suiv sup suppl tél T.S.V.P vb vol vs X.O Z.I";
constexpr std::string_view kRussian =
    "A..Z А Б В Г Д Е Ж З И Й К Л М Н О П Р С Т У Ф Х Ц Ч Ш Щ Ъ Ы Ь Э Ю Я Xвв Vвв Iвв Lвв Mвв Cвв Xв Vв "
    "Iв Lв Mв Cв бульв в вв г га гг гл гос д дм доп др е ед зам и инд исп Исп к кап кг кв кл км кол комн "
    "коп куб л лиц лл м макс мг мин мл млн млрд мм н наб нач неуд ном о обл обр общ ок ост отл п пер "
    "перераб пл пос пр просп проф р ред руб с сб св см соч ср ст стр т тел Тел тех тт туп тыс уд ул уч "
    "физ х хор ч чел шт экз э";
constexpr std::string_view kRussianUnits = "гг г м мм см дм л км га кг т мг";  // behind each digit
constexpr std::string_view kEnglishBeforeNumbers = "No Art pp";

void add(std::string_view list, std::unordered_set<std::string>& words) {
  for (const std::string& word : words_of(list)) {
    const size_t dots = word.find("..");
    if (dots == word.npos) {
      words.insert(word);
    } else if (word[0] >= '0' && word[0] <= '9') {
      const int last = std::stoi(word.substr(dots + 2));
      for (int number = std::stoi(word); number <= last; ++number) words.insert(std::to_string(number));
    } else {
      for (char letter = word[0]; letter <= word.back(); ++letter) words.insert(std::string(1, letter));
    }
  }
}

Language make_language(std::string_view code, std::string_view prefixes) {
  Language made;
  made.code = code;
  add(prefixes, made.prefixes);
  return made;
}

}  // namespace

const Language& language(std::string_view code, const std::string& where) {
  static const Language german = make_language("de", kGerman), french = make_language("fr", kFrench);
  static const Language english = [] {
    Language made = make_language("en", kEnglish);
    add(kEnglishBeforeNumbers, made.numeric_prefixes);
    return made;
  }();
  static const Language russian = [] {
    Language made = make_language("ru", kRussian);
    for (char digit = '0'; digit <= '9'; ++digit) {
      for (const std::string& unit : words_of(kRussianUnits)) made.prefixes.insert(digit + unit);
    }
    return made;
  }();
  for (const Language* known : {&german, &english, &french, &russian}) {
    if (known->code == code) return *known;
  }
  throw Error("no Moses rules for the language \"" + printable(code, 20) + "\"", printable(where, 400),
              "de, en, fr and ru are known");
}

}  // namespace mica::moses

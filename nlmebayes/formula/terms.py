"""Third stage: sums of terms, with the meaning that R and lme4 give to ``+ - : * / ** ( )``.

sum      = [+|-] product { +|- product }
product  = crossing { * or / crossing }        a*b = a + b + a:b,  a/b = a + a:b
crossing = power { : power }
power    = atom [ ** whole number ]            (a + b + c)**2 = all terms of up to two of them
atom     = 0 | 1 | column | call(...) | ( sum )
"""

from dataclasses import dataclass
from functools import reduce

from nlmebayes.formula import arithmetic
from nlmebayes.formula.arithmetic import Expression
from nlmebayes.formula.scan import FormulaError, closing, is_sign, outside, written

MOST = 1000  # terms of a formula


@dataclass(frozen=True)
class Terms:
    """A sum of terms, each of factors that are multiplied; those of fewer factors come first.

    ``text`` is the sum as it was meant: ``1 + log(wt / 70) + a:b + offset(x)``.
    """

    intercept: bool
    products: tuple[tuple[Expression, ...], ...]
    offsets: tuple[Expression, ...]

    @property
    def text(self):
        products = [":".join(f.text for f in product) for product in self.products]
        return " + ".join(["1" if self.intercept else "0", *products, *(o.text for o in self.offsets)])

    @property
    def expressions(self):
        """Every column and call in it, once."""
        return tuple(dict.fromkeys([*(f for product in self.products for f in product), *self.offsets]))

    @property
    def columns(self):
        """Names of the columns that it reads."""
        return tuple(sorted({name for e in self.expressions for name in e.columns}))

    def __str__(self):
        return self.text


class Sum:
    """A sum while it is read: products by the set of their factors, offsets, what was last said of the intercept."""

    def __init__(self, products=(), intercept=None, offsets=()):
        self.products = {}
        self.intercept, self.offsets = intercept, list(offsets)
        for product in products:
            self.add(product)

    def add(self, product):
        product = tuple(dict.fromkeys(product))
        self.products.setdefault(frozenset(product), product)
        if len(self.products) > MOST:
            raise FormulaError(f"has more than {MOST} terms")

    def plus(self, other):
        for product in other.products.values():
            self.add(product)
        self.offsets += other.offsets
        self.intercept = self.intercept if other.intercept is None else other.intercept

    def minus(self, other):
        if other.offsets:
            raise FormulaError(f"an offset cannot be subtracted; write offset(-({other.offsets[0].text[7:-1]}))")
        for key, product in other.products.items():
            if self.products.pop(key, None) is None:
                raise FormulaError(
                    f"there is no term {_text(product)} before it that '-' could leave out; a difference of columns "
                    "stands in a call, e.g. I(a - b)"
                )
        self.intercept = self.intercept if other.intercept is None else not other.intercept

    def with_(self, other):
        """The products here, then those there."""
        return Sum([*self.products.values(), *other.products.values()])

    def crossed(self, other):
        """Every product of a term here with one there."""
        return Sum(a + b for a in self.products.values() for b in other.products.values())

    @property
    def alone(self):
        """The only term, or None."""
        return next(iter(self.products)) if len(self.products) == 1 else None

    @property
    def finished(self):
        """`Terms`; the intercept is there unless it was taken away."""
        products = sorted(self.products.values(), key=len)
        return Terms(self.intercept is not False, tuple(products), tuple(self.offsets))


class Reader:
    """Reads sums from tokens; ``group`` is called where a bracket holds group terms, and gives the place after it."""

    def __init__(self, tokens, group):
        self.tokens, self.group, self.place = tokens, group, 0

    def at(self, *signs):
        return is_sign(self.tokens, self.place, *signs)

    @property
    def left(self):
        return self.place < len(self.tokens)

    def sum(self):
        """All that is left, as a `Sum`."""
        found, first = Sum(), True
        while self.left or first:
            sign = self._sign(first)
            if self.left and self.at("(") and _holds_groups(self.tokens, self.place):
                self._groups(sign)
            else:
                (found.plus if sign == "+" else found.minus)(self._product())
            self._ended()
            first = False
        return found

    def _sign(self, first):
        sign = "+"
        if self.at("+", "-"):
            sign = self.tokens[self.place].text
            self.place += 1
        if not self.left or self.at("+", "-"):
            beside = self.tokens[self.place - 1].text if self.tokens else "~"
            raise FormulaError(f"a term is missing beside {beside!r}")
        return sign

    def _groups(self, sign):
        end = closing(self.tokens, self.place)
        text = spelled(self.tokens[self.place : end + 1])
        if sign == "-":
            raise FormulaError(f"a group term cannot be subtracted; leave {text} out instead")
        self.group(self.tokens[self.place + 1 : end], text)
        self.place = end + 1
        if self.left and not self.at("+", "-"):
            raise FormulaError(f"{text} stands alone in a sum; a '+' or '-' must follow it")

    def _ended(self):
        """After a term comes a sign, or the end."""
        if not self.left or self.at("+", "-"):
            return
        before, token = self.tokens[self.place - 1].text, self.tokens[self.place]
        if self.at("|", "||"):
            raise FormulaError("'|' belongs into brackets: (1|group), (1 + x|group)")
        if token.kind == "sign" and token.text != "(":
            raise FormulaError(f"cannot read {token.text!r} after {before!r}; comparisons and the like stand in I(...)")
        raise FormulaError(f"{token.text!r} comes after {before!r} without a sign; is a '+' missing?")

    def _product(self):
        found = self._crossing()
        while self.at("*", "/"):
            sign, other = self._operator(), self._crossing()
            _no_numbers(found, sign, other)
            if sign == "*":
                _not_itself(found, sign, other)
                found = found.with_(other).with_(found.crossed(other))
            else:
                outer = Sum([tuple(f for product in found.products.values() for f in product)])
                found = found.with_(outer.crossed(other))
        return found

    def _crossing(self):
        found = self._power()
        while self.at(":"):
            sign, other = self._operator(), self._power()
            _no_numbers(found, sign, other)
            _not_itself(found, sign, other)
            found = found.crossed(other)
        return found

    def _power(self):
        found = self._atom()
        if not self.at("**"):
            return found
        self._operator()
        token = self.tokens[self.place] if self.left else None
        if found.alone or found.intercept is not None or found.offsets or not token or not token.text.isdigit():
            raise FormulaError(
                "'**' outside a call means interactions, (a + b)**2; the power of a column is I(x**2), and where a "
                "covariate has an exponent, that is the coefficient of its logarithm, log(wt/70)"
            )
        if not 1 <= int(token.text) <= 9:
            raise FormulaError(f"interactions of {token.text} columns: write a power from 1 to 9")
        self.place += 1
        return reduce(lambda one, _: one.with_(one.crossed(found)), range(int(token.text) - 1), found)

    def _operator(self):
        sign = self.tokens[self.place].text
        self.place += 1
        if not self.left:
            raise FormulaError(f"a term is missing beside {sign!r}")
        return sign

    def _atom(self):
        token = self.tokens[self.place]
        if token.kind == "number":
            self.place += 1
            return self._intercept(token.text)
        if token.kind == "name":
            return self._column_or_call(token)
        if self.at("("):
            end = closing(self.tokens, self.place)
            if _holds_groups(self.tokens, self.place):
                text = spelled(self.tokens[self.place : end + 1])
                raise FormulaError(f"{text} stands alone in a sum, e.g. + (1|group)")
            inner, self.place = Reader(self.tokens[self.place + 1 : end], self.group).sum(), end + 1
            return inner
        if self.at("{"):
            expression, self.place = arithmetic.braces(self.tokens, self.place)
            return Sum([(expression,)])
        raise FormulaError(f"cannot read {token.text!r} here: a column, a call, 0 or 1 belongs there")

    def _intercept(self, text):
        if text in ("0", "1"):
            return Sum(intercept=text == "1")
        if self.at("*", "/", ":", "**"):
            other = spelled(self.tokens[self.place + 1 : self.place + 2]) or "x"
            raise FormulaError(f"a number and a column: write I({text} {self.tokens[self.place].text} {other})")
        if is_sign(self.tokens, self.place - 2, "*", "/", ":"):
            before = spelled(self.tokens[max(self.place - 3, 0) : self.place])
            raise FormulaError(f"a column and a number: write I({before}), or log({before}) where it has an exponent")
        raise FormulaError(f"cannot read the number {text} as a term; a constant is offset({text})")

    def _column_or_call(self, token):
        if not token.quoted and is_sign(self.tokens, self.place + 1, "("):
            expression, self.place = arithmetic.call(self.tokens, self.place)
            return Sum(offsets=[expression]) if expression.function == "offset" else Sum([(expression,)])
        self.place += 1
        return Sum([(arithmetic.column(token.text),)])


def spelled(tokens):
    """The text of tokens, as short as it can be."""
    parts, word = [], False
    for token in tokens:
        parts += [" "] if word and token.kind != "sign" else []  # two words would be one
        text = written(token.text) if token.kind == "name" else token.text
        parts.append(f" {text} " if text in ("+", "-") else text)
        word = token.kind != "sign"
    return " ".join("".join(parts).split())


def _holds_groups(tokens, place):
    """Whether the bracket at ``place`` holds a '|' that is not deeper inside."""
    inside = tokens[place + 1 : closing(tokens, place)]
    return any(is_sign(inside, i, "|", "||") for i in outside(inside))


def _text(product):
    return ":".join(f.text for f in product)


def _no_numbers(found, sign, other):
    """Columns are multiplied with columns only."""
    for side, beside in ((found, other), (other, found)):
        if side.offsets:
            raise FormulaError(f"{side.offsets[0].text} stands alone in a sum, not beside {sign!r}")
        if side.intercept is not None:
            text = _text(next(iter(beside.products.values()), ())) or "x"
            number = int(side.intercept)
            raise FormulaError(f"a number stands beside {sign!r}: for arithmetic write I({number} {sign} {text})")


def _not_itself(found, sign, other):
    if found.alone and found.alone == other.alone:
        text = _text(next(iter(found.products.values())))
        raise FormulaError(f"{text} {sign} {text} is {text} alone; its square is I({text}**2)")

"""Which lines are code without a fence, and which only look like it."""

from __future__ import annotations

import pytest

from langxfer.translation import take_apart
from langxfer.translation.code_lines import is_code

CODE = r"""import os
import requests
import os, sys
import numpy as np
import java.util.*;
import matplotlib.pyplot as plt
from a.b import c, d
#include <stdio.h>
def f(x, y=1):
class Foo:
class foo(Bar):
if user.name:
if x_1 in known:
for i in range(n):
else if (a[i] < b) foo(c);
for (int i = 0; i < 3; i++) {
while not os.path.exists(local_file):
int i, j;
int main() {
int main(void)
int add(int a, int b)
int* p = &i;
char buffer[256];
double x;
float area_of_circle;
struct Node* next;
private String name;
private int[] data;
public int x;
public MyClass(int size)
public static void main(String[] args)
public static void main(String[] args) {
static int counter;
void swap(int *a, int *b);
let x = 5;
let mut code = format!("a b");
const foo = bar(baz);
var z=3;
function greet(name)
function greet(name) {
function greet(
func main() {
return null;
return result_code;
  return result;
  return round(num)
return json.loads(json_string)
throw new Error("Something went wrong");
await client.connect();
free(ptr);
if (ready) start(engine);
System.out.println(x);
console.log("The sea is deep", depth);
foo.bar(baz)
x = foo(bar)
data[0] = {
len(items)
print(data)
print("The sea is deep.")
print(f'It is {x}')
random()
max(num1, num2)
O(n)
O(n log n)
f(x)
sqrt(2)
P(A and B) = P(A) · P(B)
KCl(aq)
CH4(g) + 2 O2(g) → CO2(g) + 2 H2O(g)""".splitlines()

PROSE = """let me know if you can come (or not)
let me know if you can come(or not)
let it go (please);
let go;
public relations are hard (very)
public transport (buses and trams)
public transport(buses and trams)
public holidays;
private schools cost money (a lot)
private school(expensive);
static electricity;
double check the result;
double room(s)
double trouble;
float on water;
function of the heart (in short)
function keys (F1 to F12)
char broiled meat (with sauce);
void where prohibited (by law)
struct by lightning (again)
return policy;
return flight (from Paris);
return policies(all of them);
class discussion:
class action(s):
import taxes
import taxes;
import goods, services
import duties as usual
AI(artificial intelligence)
AI(artificial intelligence);
AI(artificial intelligence) and ML(machine learning)
HTML(HyperText Markup Language)
HTML(version 5 of HyperText Markup Language)
NATO(founded in 1949)
Windows(10)
apartment(flat)
child(ren)
colors(red, green, blue)
the applicant(s);
please bring your passport(original);
delete account(permanently);
if the child(ren) sleep:
if AI(artificial intelligence) works:
if you go to example.com:
for children, e.g.:
for the U.S. market:
for the word ____:
with 3.5 percent:
with your friend(s):""".splitlines()


@pytest.mark.parametrize("line", CODE)
def test_code_is_verbatim(line: str) -> None:
    assert is_code(line)
    assert is_code(f"{line} ")


@pytest.mark.parametrize("line", PROSE)
def test_what_could_be_prose_is_translated(line: str) -> None:
    assert not is_code(line)
    assert take_apart(line, "en").segments


def test_a_line_of_a_wrapped_sentence_is_no_code() -> None:
    text = "Cities need good\npublic transport (buses and trams)\nand cycle lanes."
    assert take_apart(text, "en").segments == tuple(text.split("\n"))


def test_a_long_line_is_prose() -> None:
    assert is_code(f"x = '{'a' * 200}'") and not is_code(f"x = '{'a' * 400}'")

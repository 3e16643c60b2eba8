"""What can be recognised: some thirty drawings as text.

A drawing lives in a box of 100 x 100, y downwards, its feet at 96. Each line is one shape:
``blob COLOUR x,y x,y ...`` (a closed curve through the points), ``poly`` (straight),
``disc COLOUR x,y rx,ry``, ``line COLOUR WIDTH x,y x,y ...``, ``ring COLOUR WIDTH x,y rx,ry``.
A leading ``=`` draws it once more, mirrored. Colours: main (what the prompt may choose), dark and
light (of main), ink, white, or a hexadecimal code.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from .brush import INK, Brush, Point, disc, shaded, smooth
from .palettes import Colour, rgb


@dataclass(frozen=True)
class Subject:
    """A drawing, the words that ask for it, its own colour and where it belongs: ``land``,
    ``sea``, ``air``, ``deep`` (under water), ``space`` or ``table``."""

    words: str
    colour: str
    place: str
    size: float
    """Of the shorter side of the picture."""
    drawing: str


SUBJECTS: tuple[Subject, ...] = (
    Subject("fox foxes 狐 狐狸 fuchs renard zorro キツネ", "#dd6f2d", "land", 0.70, """
        blob main 58,95 76,97 93,88 98,70 92,54 86,47 82,58 83,70 78,80 64,84
        blob #fdf3e3 98,68 96,58 86,44 81,57 84,66 90,66
        blob main 50,42 61,54 68,76 66,93 58,96 42,96 34,93 32,76 39,54
        =blob dark 33,78 39,74 42,86 41,95 34,95 31,88
        blob #fdf3e3 50,50 59,58 58,69 50,78 42,69 41,58
        =blob main 43,70 48,74 48,92 44,95 40,92 40,80
        =blob #4a2f2a 40,90 44,88 49,91 49,96 39,96
        =poly main 24,36 22.5,3 48,20
        =poly #4a2f2a 28,26 26,9.5 38.5,19
        blob main 50,17 63,20 75,31 80,42 66,50 55,60 50,62 45,60 34,50 20,42 25,31 37,20
        =blob #fdf3e3 50,62 45,60 34,50 20,42 30,40 40,42 46,48 50,54
        disc ink 50,52.5 3.6,2.8
        =disc ink 37.5,37.5 2.9,3.7
        =disc white 38.5,36 1.1,1.2
        line ink 0.7 50,55 50,56.6
        line ink 0.7 46.2,56.6 47.2,57.6 48.6,57.7 50,56.6 51.4,57.7 52.8,57.6 53.8,56.6
    """),
    Subject("cat kitten 猫 katze chat gato ネコ", "#7d7f94", "land", 0.64, """
        blob main 60,92 78,95 90,84 88,66 94,56 88,52 81,60 81,76 74,85 62,84
        blob main 50,44 62,54 69,76 66,96 34,96 31,76 38,54
        blob light 50,52 57,62 56,80 50,88 44,80 43,62
        =blob light 40,89 46,88 48,92 47,96 38,96
        =poly main 26,34 25,8 30,9 46,22
        =poly #e9a5a0 30,24 29,14 38,21
        blob main 50,18 66,22 76,36 70,50 58,55 42,55 30,50 24,36 34,22
        =disc #f3d36b 39,37 5,5
        =disc ink 39,37 1.7,4.4
        blob light 50,44 57,48 55,53 50,54 45,53 43,48
        poly #d9807d 47.5,44 52.5,44 50,47.5
        =line ink 0.6 42,48 22,45
        =line ink 0.6 42,50 23,52
        line ink 0.8 50,47 50,50
    """),
    Subject("dog puppy 犬 狗 hund chien perro イヌ", "#b98454", "land", 0.66, """
        blob main 62,88 80,80 88,64 84,60 76,72 62,78
        blob main 50,46 63,56 68,78 66,96 34,96 32,78 37,56
        blob #fbf3e6 50,56 57,64 56,82 50,88 44,82 43,64
        =blob #fbf3e6 40,88 46,87 48,92 47,96 38,96
        blob main 50,14 66,19 72,34 68,48 58,56 42,56 32,48 28,34 34,19
        =blob dark 34,18 24,20 17,34 19,50 27,52 33,38
        blob #fbf3e6 50,18 54,30 62,46 57,56 43,56 38,46 46,30
        disc ink 50,43 5,3.8
        line ink 1.1 50,46 50,50
        line ink 1.1 44,50 47,52 50,50 53,52 56,50
        blob #e4787c 47,52 53,52 53,58 50,60 47,58
        =disc ink 39.5,34 2.5,3
        =disc white 40.3,33 0.9,1
    """),
    Subject("owl 猫头鹰 梟 フクロウ eule hibou búho", "#8d6a4c", "land", 0.66, """
        line #5a4334 4 6,92 94,88
        blob main 50,10 70,16 78,40 76,70 62,90 50,93 38,90 24,70 22,40 30,16
        =blob dark 26,38 34,52 36,72 32,84 24,70 21,50
        blob light 50,46 62,52 64,70 58,86 50,89 42,86 36,70 38,52
        =line dark 1.2 44,60 46,63 48,60
        =line dark 1.2 40,69 42,72 44,69
        line dark 1.2 48,69 50,72 52,69
        =line dark 1.2 44,78 46,81 48,78
        =poly main 27,22 25,5 42,14
        =disc #f6ead2 38,32 12.5,12.5
        =disc #f4b93b 38.5,32 8,8
        =disc ink 39,32 4.6,4.6
        =disc white 40.6,30 1.5,1.5
        poly #e88f2d 46.5,36 53.5,36 50,46
        =line #e88f2d 1.8 42,90 42,94
        =line #e88f2d 1.8 46,90 46,94
    """),
    Subject("rabbit bunny hare 兎 兔 hase lapin ウサギ", "#cdb9a4", "land", 0.66, """
        disc white 68,84 8,8
        blob main 50,50 63,58 69,80 64,96 36,96 31,80 37,58
        blob white 50,60 57,68 56,86 50,92 44,86 43,68
        =blob main 38,32 30,14 31,1 39,2 45,16 47,30
        =blob #eeb3ae 39,27 34,14 35,5 39,7 43,18
        blob main 50,25 64,30 69,44 60,56 50,59 40,56 31,44 36,30
        =disc ink 40.5,42 2.3,3
        =disc white 41.2,41 0.8,0.9
        disc white 50,51 6,4.5
        poly #d9807d 47.6,47.5 52.4,47.5 50,50.5
        =blob white 38,91 45,90 48,96 36,96
    """),
    Subject("bear panda teddy 熊 bär ours oso", "#7a5238", "land", 0.68, """
        =disc main 31,20 9,9
        =disc light 31,20 5,5
        blob main 50,44 70,56 76,80 68,96 32,96 24,80 30,56
        blob light 50,56 62,66 62,82 50,92 38,82 38,66
        blob main 50,12 68,18 76,36 66,52 50,57 34,52 24,36 32,18
        disc light 50,44 11,8.5
        disc ink 50,40 4.4,3.2
        line ink 1.1 50,43 50,47
        =disc ink 39,32 2.4,2.8
        =blob dark 27,62 34,62 38,78 32,84 25,78
        =disc dark 36,93 8,4.5
    """),
    Subject("elephant 象 elefant éléphant", "#8f9bab", "land", 0.72, """
        blob main 34,40 60,34 84,44 90,66 86,84 30,84 24,60
        poly main 30,76 44,76 44,96 31,96
        poly main 68,76 82,76 82,96 69,96
        blob main 30,26 46,34 46,56 34,64 24,62 20,78 22,88 15,92 10,84 12,64 14,44 20,30
        blob dark 38,32 54,28 60,46 52,62 42,58 36,46
        blob white 18,66 24,68 28,78 22,74
        disc ink 24,44 1.9,2.2
        line main 2 88,56 94,72
    """),
    Subject("bird robin sparrow parrot 鳥 鸟 vogel oiseau pájaro", "#3f86c9", "air", 0.46, """
        poly dark 24,56 2,44 6,58 0,64 26,68
        blob main 70,26 84,34 84,52 70,72 44,76 22,64 34,54 54,42 58,30
        blob #f7ecd9 80,52 68,70 46,75 56,62 72,54
        blob dark 62,46 52,72 28,78 34,60 48,46
        poly #eda43a 83,36 96,42 83,45
        disc ink 74,37 2.6,2.8
        disc white 74.8,36 0.9,0.9
    """),
    Subject("butterfly moth 蝶 蝴蝶 papillon schmetterling", "#e8743b", "air", 0.46, """
        =blob main 49,48 30,14 8,16 8,38 26,52
        =blob light 49,52 24,54 14,74 28,86 44,72
        =blob dark 36,30 20,22 15,32 26,42
        =disc #fdf3e3 14,24 2.6,2.6
        =disc #fdf3e3 26,72 4,4
        blob ink 50,32 53,42 52,70 50,78 48,70 47,42
        =line ink 0.9 49,34 40,16
    """),
    Subject("fish goldfish koi 鱼 魚 fisch poisson pez", "#f08a3c", "deep", 0.62, """
        blob main 20,50 4,30 0,34 6,50 0,66 4,70
        blob dark 44,34 58,16 74,22 76,36
        blob dark 46,64 54,80 64,76 66,64
        blob main 12,50 34,34 60,28 84,38 96,50 84,62 60,72 34,66
        blob #fdf3e3 62,29 56,50 62,71 70,70 65,50 70,30
        blob #fdf3e3 38,33 33,50 38,67 44,69 40,50 44,31
        blob dark 58,52 46,60 42,56 48,48
        disc white 82,46 5,5
        disc ink 83,46 2.8,2.8
        line ink 0.9 94,54 88,57
    """),
    Subject("whale dolphin 鲸 鯨 wal baleine", "#46749e", "deep", 0.78, """
        blob main 20,52 8,40 0,26 12,28 20,34 28,26 40,26 34,42
        blob main 22,46 40,38 66,30 90,38 98,54 88,70 60,76 34,68
        blob #e9f0f2 98,56 88,70 60,76 40,70 60,66 84,62
        blob dark 58,66 50,86 62,84 72,68
        disc ink 82,52 1.9,2.1
        line #c9dbe2 0.8 62,71 84,66
        line #c9dbe2 0.8 66,74 86,69
    """),
    Subject("tree oak pine 木 树 樹 baum arbre árbol", "#4f9158", "land", 0.82, """
        poly #6e4b35 46,62 54,62 57,96 43,96
        line #6e4b35 3 50,70 36,56
        line #6e4b35 3 50,66 64,52
        blob dark 30,62 16,50 20,34 34,30 44,50
        blob main 50,8 66,12 72,26 86,36 84,56 70,66 50,62 30,66 16,54 18,36 30,28 36,14
        blob light 46,14 58,16 60,28 46,32 34,38 28,32 36,22
        =disc light 30,50 5,4
        disc dark 62,54 7,4.5
    """),
    Subject("flower rose tulip sunflower daisy 花 blume fleur flor", "#e8607a", "land", 0.72, """
        line #4f8a4e 2.6 50,40 49,70 51,96
        blob #5f9d58 50,78 64,62 80,62 70,78
        blob #5f9d58 50,86 34,70 20,72 30,84
        =blob main 50,32 38,4 26,6 30,22
        =blob main 48,34 20,16 12,28 30,38
        =blob main 48,36 18,44 26,58 42,48
        blob main 50,36 40,60 50,66 60,60
        blob main 50,30 43,5 50,0 57,5
        disc #f3c043 50,33 11,11
        disc #d99a2b 50,34 6.5,6.5
    """),
    Subject("mushroom toadstool 蘑菇 キノコ pilz champignon", "#d5453c", "land", 0.60, """
        blob #f6ead6 42,52 58,52 62,84 60,95 40,95 38,84
        blob #e2d0b5 30,52 50,48 70,52 60,60 40,60
        blob main 50,10 78,22 92,46 78,55 50,52 22,55 8,46 22,22
        disc #fdf3e3 36,28 6,5
        disc #fdf3e3 60,22 5,4
        disc #fdf3e3 74,40 6,5
        disc #fdf3e3 50,42 5.5,4.5
        disc #fdf3e3 22,44 4,3.4
    """),
    Subject("cactus 仙人掌 サボテン kaktus", "#4d9466", "land", 0.68, """
        blob main 50,8 60,16 61,60 60,96 40,96 39,60 40,16
        blob main 60,58 74,54 74,36 80,32 86,36 86,58 78,68 60,70
        blob main 40,68 26,64 26,46 20,42 14,46 15,70 24,78 40,80
        line light 1.1 47,18 47,92
        line light 1.1 54,18 54,92
        blob #ee7fa4 50,10 43,3 50,5 57,3
    """),
    Subject("house cottage cabin home hut 家 房子 haus maison casa", "#e9d3ae", "land", 0.68, """
        poly #a5543f 66,20 75,20 75,42 66,36
        poly main 20,48 80,48 80,96 20,96
        poly dark 64,48 80,48 80,96 64,96
        poly #b5523c 50,14 92,52 8,52
        poly #7d4a38 42,66 58,66 58,96 42,96
        =poly #fbe7a6 26,60 36,60 36,72 26,72
        =line #7d4a38 1 31,60 31,72
        =line #7d4a38 1 26,66 36,66
        disc #fbe7a6 50,40 5.5,5.5
        disc #f3c043 55,82 1.2,1.2
    """),
    Subject("castle palace fortress 城 城堡 schloss château castillo", "#b9aec0", "land", 0.76, """
        =poly main 10,42 28,42 28,96 10,96
        poly dark 28,54 72,54 72,96 28,96
        poly main 40,34 60,34 60,66 40,66
        =poly #5d5a9c 7,42 19,16 31,42
        poly #5d5a9c 37,34 50,4 63,34
        poly main 28,54 72,54 72,60 28,60
        =poly main 28,50 33,50 33,55 28,55
        =poly main 39,50 45,50 45,55 39,55
        blob #4a3b46 50,72 58,78 59,96 41,96 42,78
        =poly #fbe7a6 17,54 21,54 21,63 17,63
        poly #fbe7a6 48,42 52,42 52,52 48,52
        poly #d8504d 50,-6 62,-3 50,1
        line #4a3b46 0.9 50,5 50,-7
    """),
    Subject("lighthouse 灯塔 灯台 leuchtturm phare", "#d8504d", "sea", 0.70, """
        blob #5c6470 14,96 26,84 50,80 74,84 88,96
        poly #f7f2ea 41,28 59,28 65,88 35,88
        poly main 40,40 60,40 61.5,52 38.5,52
        poly main 37.4,64 62.6,64 64,76 36,76
        poly #39424f 37,24 63,24 63,28 37,28
        poly #fbe08a 42,13 58,13 58,24 42,24
        poly main 39,13 50,4 61,13
    """),
    Subject("boat ship sailboat yacht sail 船 舟 schiff bateau barco", "#d8413a", "sea", 0.66, """
        line #5a4334 1.8 52,6 52,72
        blob #fdf6e9 50,8 46,36 22,66 49,67
        blob #f3dfbf 55,16 74,40 80,66 55,67
        poly #e9a23b 52,5 64,9 52,13
        poly main 10,72 90,72 80,86 74,92 26,92 18,84
        poly #fdf6e9 10,72 90,72 88.5,75.5 12,75.5
        poly dark 16,82 82,82 76,92 26,92
    """),
    Subject("robot android 机器人 ロボット roboter", "#7fa7b8", "table", 0.68, """
        line ink 1.6 50,16 50,6
        disc #e9593f 50,5 3.4,3.4
        =poly dark 20,52 28,50 28,76 20,76
        =disc dark 24,79 5,5
        =poly dark 36,84 46,84 46,96 33,96
        blob main 30,48 70,48 73,54 72,84 68,87 32,87 28,84 27,54
        poly light 37,56 63,56 63,72 37,72
        line #e9593f 1.6 40,66 45,66 48,60 52,70 55,64 60,64
        blob main 28,18 72,18 77,24 76,42 71,46 29,46 24,42 23,24
        blob #24384a 32,23 68,23 71,27 70,38 67,41 33,41 30,38 29,27
        =disc #7ef0d4 40,32 4,4.4
        =disc white 41.2,30.6 1.3,1.3
        line #7ef0d4 1.1 45,37 50,38.5 55,37
        =disc dark 21,32 3,5
    """),
    Subject("car automobile taxi 车 車 auto voiture coche", "#e0523f", "land", 0.74, """
        blob main 4,74 8,62 24,58 34,44 52,41 68,44 80,58 94,62 97,74 94,82 6,82
        blob #cfe6ee 30,58 37,48 50,46 50,58
        blob #cfe6ee 54,46 65,48 73,58 54,58
        poly light 5,68 96,68 96,70.5 5,70.5
        =disc ink 26,82 10.5,10.5
        =disc #d9d6d0 26,82 5,5
        disc #fbe7a6 93,67 2.4,3
        line ink 0.9 52,60 52,78
    """),
    Subject("bicycle bike 自行车 自転車 fahrrad vélo", "#2f8f8a", "land", 0.66, """
        =ring ink 2.2 25,78 17,17
        line main 2.8 25,78 40,50 68,50 50,78 25,78
        line main 2.8 50,78 38,44
        line main 2.8 75,78 66,42
        line ink 3 32,43 45,43
        line ink 2.4 66,42 58,38
        line ink 2.4 66,42 74,40
        disc ink 50,78 4,4
    """),
    Subject("rocket spaceship spacecraft 火箭 ロケット rakete fusée", "#e9593f", "space", 0.74, """
        blob #ffd166 50,80 60,88 50,108 40,88
        blob #ff7a3d 50,80 56,86 50,98 44,86
        =blob main 38,54 24,68 22,86 38,76
        blob #f4efe6 50,4 62,20 66,46 62,80 38,80 34,46 38,20
        blob main 50,4 59,14 61,24 39,24 41,14
        disc #33405c 50,42 9,9
        disc #8fd3e8 50,42 6.4,6.4
        disc white 52.5,39.5 1.7,1.7
        poly dark 38,72 62,72 62,80 38,80
    """),
    Subject("balloon airship 气球 気球 montgolfière heißluftballon", "#e0523f", "air", 0.66, """
        line #6e4b35 0.8 38,58 44,82
        line #6e4b35 0.8 62,58 56,82
        blob main 50,2 74,12 82,34 70,54 58,68 42,68 30,54 18,34 26,12
        blob #f8e3b0 50,2 64,14 67,36 60,56 55,68 45,68 40,56 33,36 36,14
        blob main 50,2 55,16 56,36 53,56 51.5,68 48.5,68 47,56 44,36 45,16
        blob #8a5a38 43,82 57,82 55,94 45,94
    """),
    Subject("banana bananas 香蕉 バナナ banane plátano", "#f4cc3f", "table", 0.66, """
        blob #ddb02f 82,26 88,48 80,74 58,92 30,94 12,84 26,84 50,74 66,54 74,28
        blob main 80,26 82,50 72,72 50,86 26,88 12,84 24,80 46,68 62,50 72,28
        line #fff0a8 1.6 74,40 68,56 56,70 40,78
        poly #8a6a2c 71,30 75,16 83,17 83,29
        blob #5d4522 14,80 8,84 14,88 18,85
    """),
    Subject("apple fruit 苹果 林檎 apfel pomme manzana", "#d8413a", "table", 0.58, """
        line #6e4b35 2.4 50,32 54,14
        blob #5f9d58 54,22 66,10 80,14 70,26
        blob main 50,30 66,22 84,34 84,60 70,86 58,92 50,89 42,92 30,86 16,60 16,34 34,22
        blob light 26,40 32,32 36,36 28,52 25,56
    """),
    Subject("cup coffee tea mug teapot 咖啡 茶 kaffee café", "#3f86a8", "table", 0.60, """
        line main 4.6 72,56 86,54 88,68 72,78
        blob #d5c9b8 10,90 50,86 90,90 50,97
        blob main 22,46 78,46 74,80 64,92 36,92 26,80
        disc light 50,46 28,6
        disc #5a3a28 50,46.6 24.5,4.5
        line white 1.6 42,36 38,28 44,20 40,10
        line white 1.6 56,36 52,28 58,20 54,10
    """),
    Subject("cake cupcake birthday 蛋糕 ケーキ kuchen gâteau", "#f3b3c2", "table", 0.62, """
        blob #d5c9b8 6,90 50,86 94,90 50,97
        poly #fbf0dc 18,56 82,56 82,90 18,90
        poly main 18,70 82,70 82,76 18,76
        blob main 16,50 50,46 84,50 86,60 76,66 68,60 58,68 48,60 38,66 28,60 20,64 14,58
        =poly #7cc4c0 33,30 36,30 36,50 33,50
        poly #7cc4c0 48.5,26 51.5,26 51.5,48 48.5,48
        =blob #f5a623 34.5,18 37,26 34.5,30 32,26
        blob #f5a623 50,13 52.8,22 50,26 47.2,22
    """),
    Subject("person man woman girl boy child astronaut people 人", "#3f86a8", "land", 0.72, """
        =poly #3b4256 40,66 49,66 48,96 40,96
        =blob dark 36,42 30,46 26,66 31,68 38,52
        blob main 50,36 62,40 64,70 36,70 38,40
        disc #f0c7a4 50,24 10,11.5
        blob #4b3328 50,9 61,15 61,25 56,19 44,19 39,25 39,15
        =disc ink 46.4,25 1.1,1.4
        line ink 0.9 47,30 50,31 53,30
    """),
)  # fmt: skip


def found_in(words: list[str], most: int = 3) -> list[Subject]:
    """The subjects that the words name, in their order, each once."""
    named: list[Subject] = []
    for word in words:
        subject = _by_word().get(word)
        if subject and subject not in named:
            named.append(subject)
    return named[:most]


@cache
def _by_word() -> dict[str, Subject]:
    return {word: subject for subject in SUBJECTS for word in subject.words.split()}


def paint(
    brush: Brush,
    subject: Subject,
    colour: Colour | None,
    x: float,
    y: float,
    size: float,
    flip: bool,
) -> None:
    """Draw a subject ``size`` pixels large, the middle of its feet at (x, y)."""
    main = colour or rgb(subject.colour)
    named = {"main": main, "dark": shaded(main, 0.28), "light": shaded(main, -0.42), "ink": INK}
    named["white"] = (255, 253, 247)
    scale = size / 100

    def placed(points: list[Point], mirrored: bool) -> list[Point]:
        side = -1 if mirrored != flip else 1
        return [(x + side * (px - 50) * scale, y + (py - 96) * scale) for px, py in points]

    for row in subject.drawing.strip().splitlines():
        kind, shade, *rest = row.split()
        fill = named.get(shade) or rgb(shade)
        for mirrored in (False, True) if kind.startswith("=") else (False,):
            match kind.lstrip("="):
                case "line":
                    brush.line(placed(_points(rest[1:]), mirrored), fill, float(rest[0]) * scale)
                case "ring":
                    (centre, radii) = _points(rest[1:])
                    around = disc(*centre, *radii)
                    brush.line(placed([*around, around[0]], mirrored), fill, float(rest[0]) * scale)
                case "disc":
                    (centre, radii) = _points(rest)
                    brush.shape(placed(disc(*centre, *radii), mirrored), fill)
                case "poly":
                    brush.shape(placed(_points(rest), mirrored), fill)
                case _:
                    brush.shape(placed(smooth(_points(rest)), mirrored), fill)


def _points(pairs: list[str]) -> list[Point]:
    numbers = [tuple(float(number) for number in pair.split(",")) for pair in pairs]
    return [(x, y) for x, y in numbers]

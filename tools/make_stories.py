#!/usr/bin/env python3
"""Writes a corpus of simple English children's stories, made from the grammar below.

    python tools/make_stories.py --out stories.txt --megabytes 20 --seed 1

The same arguments give the same bytes. Stories are separated by a line that
holds only <|end|>. Nothing is read: every word comes from this file.

How a story is made: a plot is drawn, then a world (hero, friend, grown-up, toy,
place, weather and so on, all fixed for the story), then one line of every slot
of the plot. Notation inside plots:

    blank line      next slot; one of a slot's lines is taken
    -               as a line: take nothing
    ---             next paragraph
    @name           as a line: the slots of the shared block `name`
    [a|b|]          one of the alternatives, may be nested and empty
    {h} {he} ...    the world's values, see World
"""

import argparse
import random
import re

# name: s(he). Children's names and animals' names do not overlap, and a name
# always has the same pronoun, so that a reader (or a model) can rely on it.
GIRLS = """Lily Mia Anna Emma Rosie Ella Lucy Sara Molly Zoe Nora Ruby Clara Ivy Jane
Kate Amy Bella Daisy Maya Sue Tina Hana Leah Polly Nina Grace Alice Eva Fay""".split()
BOYS = """Tom Ben Sam Max Leo Jack Tim Noah Finn Theo Oscar Adam Luke Omar Will Joe
Hugo Eli Dan Peter Jamie Ravi Alex Kai Henry Felix Paul Nico Simon Toby""".split()
ANIMAL_GIRLS = "Pip Dot Honey Bonny Pearl Hazel Clover Misty Poppy Willow Tilly Fern".split()
ANIMAL_BOYS = "Bobo Rusty Benny Hop Oaky Biscuit Gus Mo Teddy Bruno Nibble Zip".split()

ANIMALS = {  # kind: where it lives
    "rabbit": "in a [cozy|warm|small] [hole under a hill|hole near the garden]",
    "fox": "in a [warm|deep] den in the [forest|woods]",
    "bear": "in a [big|quiet|dark] cave in the [forest|mountains]",
    "mouse": "in a [tiny|small] hole [behind a wall|under the kitchen floor|in an old barn]",
    "duck": "by a [blue|quiet|small] pond",
    "frog": "by a [green|quiet|muddy] pond",
    "squirrel": "in a [tall|big] [oak tree|tree]",
    "bird": "in a nest in a [tall|big|green] tree",
    "hedgehog": "under a [bush|pile of leaves] in the garden",
    "turtle": "[near a river|by a slow river|by the lake]",
    "owl": "in a [hollow|very old] tree",
    "cat": "in a [little|white|yellow] house [on a hill|near the sea|]",
    "dog": "[on a farm|in a little house with a red door]",
    "pig": "on a [small|busy|big] farm",
    "lamb": "on a [green|quiet] farm",
    "pony": "on a [green|big] farm",
    "bee": "in a [busy|golden] hive",
    "monkey": "in the [green|hot] jungle",
    "elephant": "near a [wide|big] river",
    "penguin": "on the [cold|white] ice",
}
ADJ = "little small young kind brave curious happy shy clever gentle funny busy cheerful".split()
COLORS = "red blue green yellow purple orange pink white brown silver golden".split()
TIMES = "morning afternoon day".split()

TOYS = {  # noun: what is done with it; {O} is the toy, {h2} whoever is near
    "ball": ["bounce {O}", "kick {O} across the grass", "throw {O} high into the air", "roll {O} down the hill"],
    "kite": ["fly {O} in the wind", "run with {O}", "fly {O} high in the sky"],
    "car": ["push {O} across the floor", "race {O} down the path", "drive {O} through the sand"],
    "boat": ["float {O} on the pond", "sail {O} in the water", "push {O} across the water"],
    "train": ["push {O} along the floor", "drive {O} around the room"],
    "doll": ["dress {O}", "take {O} for a walk", "sing to {O}"],
    "teddy bear": ["hug {O}", "carry {O} everywhere", "tell {O} secrets"],
    "drum": ["tap {O}", "play {O} like a [marching |]band", "make a merry noise with {O}"],
    "book": ["read {O} under a tree", "look at the pictures in {O}", "read {O} in bed"],
    "hat": ["wear {O} all day", "wear {O} in the sun"],
    "scarf": ["wear {O} in the cold", "wrap {O} around [a snowman|the teddy bear]"],
    "bucket": ["fill {O} with sand", "carry water in {O}"],
    "balloon": ["hold {O} by the string", "run with {O}", "watch {O} float"],
    "robot": ["walk {O} around the room", "build a house for {O}"],
    "truck": ["fill {O} with stones", "push {O} through the mud", "drive {O} up the hill"],
    "puzzle": ["work on {O}", "finish {O} on the rug"],
    "flute": ["play a song on {O}", "blow into {O}"],
    "wagon": ["pull {O} up the road", "fill {O} with leaves"],
    "umbrella": ["open {O} in the rain", "walk under {O}"],
    "jump rope": ["skip with {O}", "jump over {O}"],
    "spinning top": ["spin {O} on the floor", "spin {O} again and again"],
    "toy castle": ["play with {O}", "build a wall around {O}"],
    "paint set": ["paint a rainbow with {O}", "paint a picture with {O}"],
    "lamp": ["shine {O} on the wall", "make shadows with {O}"],
    "bell": ["ring {O}", "listen to {O}"],
    "wooden horse": ["ride {O}", "gallop {O} around the yard"],
}
FOODS = ["apple", "cookie", "pear", "banana", "sandwich", "carrot", "muffin", "pancake", "plum",
         "piece of cake", "piece of bread", "bowl of soup", "slice of pie", "bun", "peach"]
PLACES = {  # noun with "the": preposition
    "park": "in", "garden": "in", "forest": "in", "beach": "at", "playground": "at", "farm": "on",
    "lake": "at", "river": "by", "meadow": "in", "market": "at", "hill": "on", "pond": "by", "yard": "in",
    "school": "at", "library": "in", "big field": "in", "town square": "in", "orchard": "in",
}
OUTDOORS = ["park", "garden", "forest", "beach", "playground", "farm", "lake", "meadow", "hill",
            "pond", "yard", "big field", "orchard"]
HOBBIES = ["play in the {pl}", "run in the grass", "sing songs", "look at the clouds", "climb trees",
           "read stories", "draw pictures", "dance in the rain", "jump in puddles", "play hide and seek",
           "count the stars", "help {g}", "look for shiny stones", "watch the birds", "dig in the sand",
           "pick flowers", "listen to stories", "ask questions", "chase butterflies",
           "build things", "make new friends", "swim in the lake", "tell jokes", "play games"]
WEATHERS = ["The sun was shining and the sky was blue.", "The sun was warm and the birds were singing.",
            "The sky was gray and a cold wind was blowing.", "White clouds moved slowly across the sky.",
            "The air smelled like flowers.", "It was a warm day, and a soft wind moved the leaves.",
            "It was a little cold, but {h} did not mind.", "The grass was still wet from the rain.",
            "Yellow leaves were falling from the trees.", "The snow had melted and the first flowers were out.",
            "It was hot, and the bees were humming.", "The wind was playing with the leaves.",
            "A rainbow was in the sky.", "The morning was bright and quiet."]

IRREGULAR = dict(fly="flew", run="ran", throw="threw", drive="drove", take="took", sing="sang", tell="told",
                 make="made", read="read", wear="wore", hold="held", build="built", blow="blew", ring="rang",
                 ride="rode", draw="drew", dig="dug", swim="swam", feed="fed", give="gave", go="went",
                 put="put", eat="ate", find="found", sit="sat", bring="brought", get="got", keep="kept",
                 hide="hid", sweep="swept", set="set", write="wrote", say="said", fall="fell", come="came",
                 leave="left", sleep="slept", feel="felt", catch="caught", buy="bought", think="thought", spin="spun")
DOUBLED = "run swim dig spin hug put sit get skip tap set hop plan pat hum stop chop drop".split()


def past(phrase):
    verb, _, rest = phrase.partition(" ")
    if verb in IRREGULAR:
        verb = IRREGULAR[verb]
    elif verb in DOUBLED:
        verb += verb[-1] + "ed"
    elif verb.endswith("e"):
        verb += "d"
    elif verb.endswith("y") and verb[-2] not in "aeiou":
        verb = verb[:-1] + "ied"
    else:
        verb += "ed"
    return f"{verb} {rest}".strip()


def gerund(phrase):
    verb, _, rest = phrase.partition(" ")
    if verb in DOUBLED:
        verb += verb[-1] + "ing"
    elif verb.endswith("e") and not verb.endswith("ee"):
        verb = verb[:-1] + "ing"
    else:
        verb += "ing"
    return f"{verb} {rest}".strip()


# ---------------------------------------------------------------- shared blocks

BLOCKS = {}
PLOTS = []


def slots_of(text):
    return [[line.strip() for line in slot.strip().split("\n")]
            for slot in re.split(r"\n\s*\n", text.strip())]


def block(name, text):
    BLOCKS[name] = slots_of(text)


def plot(text, cases=({},), weight=1.0, child=False, animal=False):
    """A plot; `cases` are the consistent sets of extra values it can be told with."""
    PLOTS.append(dict(paragraphs=[slots_of(p) for p in re.split(r"\n---\n", text.strip("\n"))],
                      cases=list(cases), weight=weight, child=child, animal=animal))


block("open", """
Once upon a time, there was a {adj} {kind} named {h}.
Once upon a time, there was a {adj} {kind} named {h}.
Once upon a time, there was a {adj} {kind} called {h}.
Once upon a time, there lived a {adj} {kind} named {h}.
Once upon a time, a {adj} {kind} named {h} lived {home}.
Once there was a {adj} {kind} named {h}.
There was once a {adj} {kind} named {h}, and {he} lived {home}.
{h} was a {adj} {kind}.
{h} was a {adj} {kind} who lived {home}.
A {adj} {kind} named {h} lived {home}.
Long ago, a {kind} named {h} lived {home}.
In a [small town|quiet village|green valley|land far away], there lived a {adj} {kind} named {h}.
This is the story of a {adj} {kind} named {h}.

{He} loved to {hobby}.
{He} loved to {hobby} [and|and to] {hobby2}.
{He} liked to {hobby} [every day|all day long|when the sun was out].
Every [day|morning|afternoon], {he} liked to {hobby}.
More than anything, {h} loved to {hobby}.
{h} lived with {g} [and was very happy|and a small gray cat|].
Everyone liked {h}, because {he} was always [kind|friendly|cheerful].
{He} had [a big smile|a soft voice|bright eyes] and a [big|warm|kind] heart.
-
-
""")
block("one_day", """
One {t}, {h} [went to|walked to|ran to] the {pl}.
One {t}, {h} was [playing |walking |]{in_pl}.
One {t}, {h} went to the {pl} with {g}.
One [sunny|bright|warm|cold|windy|quiet] {t}, {h} [went|walked] to the {pl}.
One {t}, {h} and {g} went to the {pl} together.
{h} was [playing|sitting|walking] {in_pl} one {t}.
It was a [sunny|bright|warm|cold|windy|quiet] {t}, and {h} was {in_pl}.
On a [sunny|bright|warm|windy] {t}, {h} went to the {pl}.
Today, {h} was {in_pl}.

{weather}
-
-
""")
block("sad", """
{h} felt [very |so |]sad.
{h} was sad, and {he} began to cry.
{h} sat down and cried.
A tear rolled down {his} cheek.
{h} looked at the ground. {He} did not know what to do.
{His} heart felt heavy.
""")
block("happy", """
{h} was [very |so |]happy.
{h} smiled [a big smile|from ear to ear|and clapped {his} hands|and jumped up and down].
{h} laughed [out loud|with joy|and danced around].
{h} felt warm and happy inside.
"[Hooray|Yay|Look at that|Wow]!" [shouted|cried|said] {h}.
""")
block("friend", """
{f} was {his} best friend.
{His} best friend was {a_fkind} named {f}.
{He} had a [good|dear|funny] friend named {f}.
{h} and {f} did everything together.
{h} and {f}, {a_fkind}, were best friends.
""")
block("hug", """
{G} gave {h} a [big|warm] hug.
{G} hugged {h}.
{G} smiled and kissed {h} on the head.
{G} held {h} close.
{h} gave {g} a [big|warm|long] hug.
""")
block("thanks", """
"Thank you, {gn}!" said {h}.
"Thank you, {gn}," said {h}. "You are the best!"
"Thank you so much!" {h} said.
"I love you, {gn}," said {h}.
-
""")
block("end", """
They all lived happily ever after.
And from that day on, {h} was never [sad|lonely|afraid] again.
It was the best day ever.
{h} went home with a happy heart.
{h} went to bed that night with a smile.
That night, {h} fell asleep with a smile on {his} face.
That night, {h} dreamed of {dream}.
When the moon came up, {h} told {g} all about it.
{h} would always remember that day.
And that is how the day ended, with [laughter and hugs|a song and a warm cup of milk|a story and a kiss good night].
{h} could not wait for tomorrow.
What a [good|happy|wonderful] day it was!
The end.
-
-
""")
block("lesson_end", """
{h} learned that {lesson}.
From that day on, {h} knew that {lesson}.
"Now I know that {lesson}," said {h}.
"Remember," said {g}, "{lesson}." {h} never forgot it.
And {h} always remembered that {lesson}.

-
-
@end
""")

# ------------------------------------------------------------------------ plots

plot("""
@open
{h} wanted {ao}.
{h} wanted {ao}. {He} thought about it every day.
{h} wanted {ao} very much.
Once upon a time, a {kind} named {h} wanted {ao}.

@one_day
One {t}, {h} went to the [shop|toy shop|market] with {g}.
{h} and {g} went to the [shop|toy shop|market].

There, {h} saw {ao}. [It was the most beautiful {o} in the world|It was just the right size|{He} could not stop looking at it].
In [the window|a corner|a basket], there was {ao}. "[Look|Oh, look], {gn}!" said {h}.
{He} saw {ao} and stopped. "[I want that {o}|I would love to have that {o}]," said {h}.

"Can I have it, [please|{gn}]?" asked {h}.
"[Please|{gn}], may I have {O}?" {h} asked.
{h} asked {g}, "Can we [buy it|take it home], please?"
---
"[Not today|Not now]," said {g}. "[First you must help me|You have to work for it|But you can earn it]."
{G} [thought for a while|smiled]. "If you help me at home, you can have it," said {g}.
"We do not have enough money," said {g}. "But we can save [a little every day|our coins]."
"You can have it if you [wait until your birthday|help me this week]," {g} said.

{h} was [a little |]sad, but {he} [did not cry|nodded|understood]. "[I will|I can do that|Okay]," {he} said.
"I will help you!" said {h}.
"[Okay|All right], {gn}," said {h}. "I will try."

So {h} {chored}. Then {he} {chored2}. It was hard work, but {he} did not stop.
Every day, {h} {chored}. {He} also {chored2}.
The next day, {h} {chored} and {chored2}. {G} was [proud|surprised|pleased].
{h} {chored} all week. {His} hands were tired, but {he} was happy.
---
At last, {g} said, "You worked so hard. [Come with me|I have something for you]."
One {t}, {g} came home with a [box|bag]. "This is for you," said {g}.
After [a week|many days|seven days], {g} took {h} to the shop again.

Inside was {ao}!
And there it was, {ao}!
{h} opened {his} eyes wide. It was {ao}!

@happy

@thanks

{h} {used} [all day|until it was dark|again and again].
{h} {used} with {f}, and they [laughed and laughed|had so much fun].
Then {h} ran outside and {used}.

@end
""", weight=1.6)

plot("""
@open
{h} had {ao}.
{h} had {ao} and loved it very much.
Once upon a time, {h} had {ao}.

{His} favorite toy was {ao}.
{He} had {ao} that {he} [took everywhere|loved very much].
{G} had given {him} {ao}.

{He} {used} every day.
Each {t}, {he} {used}.
{He} never went to bed without it.
-
---
But one {t}, {O} was gone.
One {t}, {h} looked for {O}, but it was not there.
One {t}, {h} could not find {O}.
Then one {t}, {h} woke up and {O} was gone!

"Oh no!" said {h}. "Where is my {o}?"
"My {o} is lost!" {he} cried.
"Where can it be?" said {h}.
@sad

{He} looked {spot}, but it was not there. {He} looked {spot2}. It was not there either.
{h} looked {spot}. No {o}. {He} looked {spot2}. No {o}.
First {he} looked {spot}. Then {he} looked {spot2}. But {he} could not find it.
---
{f} [came by|saw {h}|heard {h}]. "Why are you sad?" {fhe} asked.
"What is wrong?" asked {f}.
Then {h} met {f}. "Why do you look so sad?" asked {f}.
{h} went to {f} for help.

"I lost my {o}," said {h}.
"I cannot find my {o}," {h} said.
"My {o} is gone," said {h} [in a small voice|and began to cry].

"[Do not worry|Do not cry]," said {f}. "I will help you [find it|look for it]."
"Let us look together," said {f}.
"Two can look better than one," said {f}. "Come on!"

They looked {spot3}. [There it was!|And there was {O}!]
They looked and looked. Then {f} saw something {color} {spot3}. It was the {o}!
"[Where did you play yesterday|Where did you have it last]?" asked {f}. {h} [thought hard|remembered]. They ran to look {spot3}, and there was {O}!
At last, they found it {spot3}.
---
@happy

"Thank you, {f}!" said {h}. "You are a [good|true|great] friend."
"You found it! Thank you!" said {h}.
{h} hugged {f}. "Thank you for helping me," {he} said.

Then they {used} together.
After that, {h} and {f} {used} until [it was dark|dinner].
From then on, {h} always put {O} [away|in a safe place] at night.

@end
""", weight=1.6)

plot("""
@open

@friend

{h} had {ao}. {He} loved it.
{h} had a new toy. It was {ao}.
For {his} birthday, {h} got {ao}.
---
@one_day

{f} came and saw {O}. "Can I play with it?" asked {f}.
"What a nice {o}!" said {f}. "May I play too?"
{f} looked at {O}. "Can I have a turn?" {fhe} asked.

"No!" said {h}. "It is mine!"
"No, it is my {o}," said {h}, and {he} held it tight.
{h} shook {his} head. "I do not want to share," {he} said.

{f} was sad and [walked away|went home|sat down under a tree].
{f} looked at the ground and [walked away|said nothing].
---
{h} played alone. But it was not [much |any |]fun.
{h} {used} all alone. Soon {he} was bored.
{h} tried to play, but {he} felt bad inside.

{He} thought about {f}. "I was not kind," {he} said.
{G} asked, "Where is {f}?" {h} looked down. "I did not share," {he} said.
"{gn}, why do I feel so bad?" asked {h}. "[Maybe you miss your friend|Toys are more fun with a friend]," said {g}.

So {h} ran to {f}. "I am sorry," {he} said. "Do you want to play with me?"
{h} went to find {f}. "I am sorry, {f}," said {h}. "We can share it."
{h} took {O} to {f}. "You can have the first turn," {he} said.
---
{f} smiled. "[Yes, I would love to|Thank you|That is okay]!" {fhe} said.
{f} was happy again. "Thank you, {h}!" {fhe} said.

They {used} together. [It was so much more fun|They laughed all afternoon|They took turns].
First {f} had a turn, and then {h} had a turn. They {used} all {t}.

@lesson_end
""", cases=[dict(lesson="sharing is fun"), dict(lesson="toys are better with a friend"),
            dict(lesson="it is good to share")])

plot("""
@open
-

@one_day

[Suddenly|Then], {he} heard a [small|soft|sad] sound. It was a {baby}!
{He} saw a {baby} {trouble_place}.
Then {h} saw a {baby}. It was all alone.

The {baby} {trouble}.
The poor {baby} {trouble}.
"Oh, [you poor thing|little one]!" said {h}. The {baby} {trouble}.
---
"Do not be afraid," said {h}. "I will help you."
"I want to help," said {h} [softly|in a soft voice].
{h} [knelt down|came closer]. "Are you okay, little {baby}?" {he} asked.

{h} ran to {g}. "{gn}, come quick! The {baby} needs help!" {he} said.
{h} called {g}. {G} came right away.
{h} asked {f} to help. {f} came running.

{fix}
Very slowly, {fix_low}
---
The {baby} felt [much |]better. {thanks_animal}
Soon the {baby} was [safe|well] again. {thanks_animal}
{thanks_animal}

"You were very [kind|brave|gentle]," said {g}.
"[I am proud of you|Good job], {h}," said {g}.
-
-

"[Can we keep it|Can it stay with us]?" asked {h}. "[It has a home of its own|It must go back to its family]," said {g}, "but it can visit us."
From that day on, the {baby} came to see {h} every {t}.
The {baby} and {h} became [good|best] friends.
{h} waved as the {baby} went [home|back to its mother]. "Goodbye, little friend!" {he} said.
{h} named the {baby} {petname}.

@end
@lesson_end
""", cases=[
    dict(baby="bird", trouble_place="[on the ground|under a tree]", trouble="had hurt its wing and could not fly",
         fix="They put the bird in a [warm box|box with soft grass] and gave it water [and seeds|].", fix_low="they put the bird in a warm box and gave it water.",
         thanks_animal="It [flapped its wings and sang a song|flew up and sang for {h}].", lesson="even small ones need help"),
    dict(baby="kitten", trouble_place="in a [tall |]tree", trouble="was stuck [in the tree|on a branch] and [could not get down|was afraid to come down]",
         fix="They got a [long |]ladder and brought the kitten down.", fix_low="they brought the kitten down with a ladder.",
         thanks_animal="It [purred|licked {h} on the nose|rubbed against {his} leg].", lesson="kindness makes new friends"),
    dict(baby="puppy", trouble_place="[by the road|behind a bush]", trouble="was lost and [hungry|cold|could not find its home]",
         fix="They gave the puppy some food and [went from house to house|asked everyone] until they found its home.", fix_low="they gave the puppy some food and found its home.",
         thanks_animal="It [wagged its tail|barked and jumped up and down|licked {his} hand].", lesson="it feels good to help"),
    dict(baby="turtle", trouble_place="[in the grass|on the path]", trouble="was on its back and could not turn over",
         fix="They turned the turtle over and carried it to the water.", fix_low="they turned the turtle over and carried it to the water.",
         thanks_animal="It [nodded its head slowly|looked at {h} and seemed to smile].", lesson="a little help can mean a lot"),
    dict(baby="fish", trouble_place="in a [small |]puddle", trouble="was in a puddle that was getting smaller and smaller",
         fix="They filled a bucket with water and took the fish back to the [river|lake].", fix_low="they took the fish to the river in a bucket.",
         thanks_animal="It [splashed its tail|jumped out of the water] to say thank you.", lesson="everyone needs a home"),
    dict(baby="lamb", trouble_place="[behind a fence|in the bushes]", trouble="was caught in a [fence|bush] and cried for its mother",
         fix="They pulled the branches away and set the lamb free.", fix_low="they pulled the branches away and set the lamb free.",
         thanks_animal="It [jumped for joy|said \"baa\" and ran in a circle].", lesson="being gentle is being strong"),
    dict(baby="butterfly", trouble_place="[in a spider web|near a window]", trouble="was stuck in a spider web",
         fix="They opened the web with a [small|thin] stick, and the butterfly was free.", fix_low="they opened the web with a stick.",
         thanks_animal="It [sat on {his} hand for a moment|danced around {his} head].", lesson="small things matter"),
    dict(baby="squirrel", trouble_place="[under a big tree|in the cold snow]", trouble="was cold and had nothing to eat",
         fix="They gave the squirrel a warm [scarf|blanket] and a [bowl|pile] of nuts.", fix_low="they gave the squirrel a blanket and some nuts.",
         thanks_animal="It [ate all the nuts|held a nut in its paws and looked happy].", lesson="sharing keeps us warm"),
], weight=1.8)

plot("""
@open

But there was one problem. {h} was afraid of {fear}.
{He} was brave in many ways, but {he} was afraid of {fear}.
{h} was afraid of {fear}.
---
{scare}

{h} [began to shake|held {his} breath|covered {his} eyes]. "I am [scared|afraid]," {he} said.
"{gn}! {gn}!" [cried|called] {h}. "I am scared!"
{h} wanted to [hide|run away|cry].

{G} came and sat down [next to|beside] {him}. "[What is wrong|Why are you afraid]?" {g} asked.
{G} took {his} hand. "I am here," said {g}.
{f} [came close|took {his} hand]. "[I was afraid too, once|I will stay with you]," {fhe} said.

"I do not like {fear}," said {h}.
"I am not brave," said {h}.
-

{comfort}
---
{h} took a deep breath. {try}
{h} was still a little scared, but {he} wanted to try. {try}
"[Okay|All right], I will try," said {h}. {try}

"[I did it|I am not scared anymore|That was fun]!" {he} [said|shouted].
And do you know what? It was not so bad!
{h} [smiled|laughed]. "It is not scary at all," {he} said.

"I knew you could do it," said {g}.
"You are very brave," said {g}.
{G} clapped. "[I am so proud of you|Well done]!" {g} said.

@end
@lesson_end
""", cases=[
    dict(fear="the dark", scare="One night, the light went out. [It was very dark|The room was full of shadows].",
         comfort="\"The dark is only the day [taking a nap|with its eyes closed],\" said {g}. \"Look, you can see the stars.\"",
         try_="{He} looked out of the window and counted the stars.", lesson="the dark is not so bad"),
    dict(fear="thunder", scare="One night, there was a big storm. Boom! went the thunder.",
         comfort="\"Thunder is only [a big noise|the clouds playing drums],\" said {g}. \"It cannot hurt you.\"",
         try_="When the thunder came again, {he} said \"boom\" right back.", lesson="a noise cannot hurt you"),
    dict(fear="the water", scare="One {t}, everyone went to the lake to swim. The water looked [deep|cold and deep].",
         comfort="\"You can start with your toes,\" said {g}. \"I will hold your hand.\"",
         try_="{He} put in one toe, then one foot. Soon {he} was splashing in the water.", lesson="you can start with a small step"),
    dict(fear="the tall slide", scare="One {t}, {f} went down the tall slide at the playground. \"Come on, {h}!\" called {f}.",
         comfort="\"You can sit on my lap the first time,\" said {g}.",
         try_="{He} climbed up the steps and closed {his} eyes. Whee! {He} went down the slide.", lesson="new things can be fun"),
    dict(fear="big dogs", scare="One {t}, a big dog came to the {pl}. It barked, \"Woof!\"",
         comfort="\"That dog only wants to play,\" said {g}. \"Hold out your hand and let it smell you.\"",
         try_="{He} held out {his} hand. The dog licked it and wagged its tail.", lesson="a big friend is still a friend"),
    dict(fear="the first day of school", scare="One {t}, it was time to go to school. {h} did not want to go.",
         comfort="\"Everyone is a little afraid on the first day,\" said {g}. \"You will make new friends.\"",
         try_="{He} walked in and sat down next to {f}. They painted a picture together.", lesson="a new place can be a good place"),
    dict(fear="high places", scare="One {t}, {f} climbed up a tall tree. \"Come up, {h}!\" called {f}.",
         comfort="\"Do not look down,\" said {f}. \"Look at the sky and hold on tight.\"",
         try_="{He} climbed one branch, then one more. From the top, {he} could see the whole {pl}.", lesson="you can be afraid and brave at the same time"),
], weight=1.5)

plot("""
@open

One {t}, {h} wanted to make {dish} for {g}.
One {t}, {h} and {f} wanted to make {dish}.
"Let us make {dish}!" said {h} one {t}.
It was {gs} birthday, and {h} wanted to make {dish}.

{He} got {ing1} and {ing2}. But there was no {ing3}!
{h} found {ing1}. {He} found {ing2}. But {he} could not find any {ing3}.
"We need {ing1}, {ing2} and {ing3}," said {h}. But the {ing3} was all gone.
---
"Oh no," said {h}. "We cannot make it without {ing3}."
"What can we do?" asked {h}.
@sad

So {he} went to {neighbor} and knocked on the door. "Do you have some {ing3}?" {he} asked.
"Maybe {neighbor} has some," said {h}, and {he} ran [next door|down the road].
Then {h} had an idea. {He} went to see {neighbor}. "May I have some {ing3}, please?" {he} asked.

"[Of course|Yes, I do]!" said {neighbor}. "Here you are."
{neighbor} smiled and gave {him} [a cup of|some] {ing3}. "[Have fun|Good luck]!" {neighbor} said.
"I have plenty," said {neighbor}. "Take as much as you need."
---
{h} ran home and [mixed|put] everything together. [The kitchen smelled so good|It took a long time].
{h} mixed it all in a big bowl. [Some of it fell on the floor, but that was okay|There was a white spot on {his} nose].
Back at home, {h} [stirred and stirred|worked hard]. Soon it was ready.

When it was done, it was {taste}.
It was {taste}! Everyone wanted more.
{G} took a bite. "This is {taste}!" {g} said.

{h} took a [big |]piece to {neighbor} to say thank you.
They ate it all together, and {neighbor} came too.
"Let us give some to {neighbor}," said {h}. And they did.
-

@end
@lesson_end
""", cases=[
    dict(dish="a cake", ing1="flour", ing2="eggs", ing3="sugar", taste="[soft and sweet|the best cake ever]", lesson="good neighbors help each other"),
    dict(dish="pancakes", ing1="flour", ing2="eggs", ing3="milk", taste="[warm and sweet|very good]", lesson="it is okay to ask for help"),
    dict(dish="soup", ing1="carrots", ing2="potatoes", ing3="salt", taste="[hot and tasty|the best soup ever]", lesson="food tastes better when you share it"),
    dict(dish="apple pie", ing1="apples", ing2="flour", ing3="butter", taste="[sweet and warm|very tasty]", lesson="it is okay to ask for help"),
    dict(dish="bread", ing1="flour", ing2="water", ing3="salt", taste="[soft and warm|very good]", lesson="good things take time"),
    dict(dish="cookies", ing1="butter", ing2="flour", ing3="sugar", taste="[sweet and crunchy|the best cookies in the world]", lesson="sharing makes everything sweeter"),
])

plot("""
@open

One {t}, {h} was [playing|running|jumping] in the house. {G} had said, "[Please be careful|No running in the house]."
One {t}, {h} [was playing with {his} {o} in the house|wanted to play inside].

{He} did not [look where {he} was going|listen]. Crash! {breakage} fell [down|on the floor] and broke.
Suddenly, there was a loud crash. {breakage} was broken!
{He} bumped into the table. {breakage} fell and broke into [many|small] pieces.
---
"Oh no!" said {h}. {He} was [afraid|scared] that {g} would be [angry|mad].
{h} did not know what to do. {He} [hid the pieces|put the pieces under the bed|hid behind the chair].
{h} looked at the pieces. {His} heart beat fast.

{G} came in. "What happened?" {g} asked.
"What was that noise?" asked {g}.
Then {g} came home. "Who broke it?" asked {g}.

{h} wanted to say, "It was the cat." But {he} knew that was not [true|right].
{h} looked at {his} feet. {He} took a deep breath.
-

"I broke it," said {h}. "I am [very |so |]sorry."
"It was me, {gn}," {h} said. "I did not mean to. I am sorry."
"I am sorry, {gn}. I [did not listen|was not careful]," said {h}.
---
{G} was [quiet|silent] for a moment. Then {g} said, "Thank you for telling [me |]the truth."
"I am a little sad," said {g}, "but I am glad you told me the truth."
{G} was not angry. "[We all make mistakes|Anyone can make a mistake]," said {g}.

@hug

Together, they [cleaned up|fixed it with glue|swept the floor].
{h} helped {g} clean up. [Then they had some tea|After that, they went outside to play].
They fixed it with glue. It was not the same, but {h} thought it was still [pretty|nice].

@lesson_end
""", cases=[dict(breakage=b, lesson=l) for b, l in [
    ("The blue vase", "it is good to tell the truth"), ("A white plate", "telling the truth feels better than hiding"),
    ("{Gs} favorite cup", "everyone makes mistakes"), ("The old clock", "it is best to be honest"),
    ("The flower pot", "it is good to be careful"), ("{Gs} lamp", "saying sorry can make things better")]])

plot("""
@open
It was a {badday} day, and {h} was at home.

@friend
-
-
---
One {t}, {h} and {f} wanted to {plan}. But {weatherbad}
"Today we will {plan}," said {h}. But then {weatherbad}
{h} wanted to {plan}. {He} looked out of the window. {weatherbad_cap}

"Oh no," said {h}. "Now we cannot {plan}."
"It is not fair!" said {h}. {He} [stamped {his} foot|put {his} head in {his} hands].
@sad

{h} sat by the window and [waited|looked at the sky]. {He} waited and waited.
"Will it ever stop?" asked {h}.
-
---
Then {g} had an idea. "{idea}," {g} said.
"Do not be sad," said {g}. "{idea}."
{f} smiled. "{idea}!" {fhe} said.

"[That is a great idea|What fun|Yes, yes]!" said {h}.
{h} jumped up. "[Let us do it|Yes, please]!" {he} said.
-

{ideadone}

They laughed so much that they forgot about the {badthing}.
It was even better than going outside.
-
---
[After a while|At last|Later], the {badthing} stopped. {after}
When {h} looked out again, the {badthing} was gone. {after}
{h} did not even see that the {badthing} had stopped.

"[What a good day|This was the best day]," said {h}.
"I like {badday} days now," said {h}.
@end

-
@lesson_end
""", cases=[
    dict(badday="rainy", plan="go to the park", weatherbad="it started to rain.", weatherbad_cap="It was raining and raining.", badthing="rain",
         idea="[Let us|We can] build a tent in the living room", ideadone="They took blankets and chairs and made a big tent. Inside, they told stories and ate {foods}.",
         after="There was a big rainbow in the sky.", lesson="a rainy day can be a fun day"),
    dict(badday="rainy", plan="play outside", weatherbad="big drops fell from the gray clouds.", weatherbad_cap="Big drops were falling from the clouds.", badthing="rain",
         idea="[Let us|We can] put on our boots and jump in the puddles", ideadone="They put on their boots and jumped. Splash! The water flew everywhere.",
         after="The sun came out and dried their wet hair.", lesson="you can have fun in any weather"),
    dict(badday="snowy", plan="ride a bike", weatherbad="it began to snow.", weatherbad_cap="Everything was white with snow.", badthing="snow",
         idea="[Let us|We can] make a snowman", ideadone="They rolled three big balls of snow. They gave the snowman a carrot for a nose and {ao} too.",
         after="The world was white and quiet.", lesson="every kind of weather has its own fun"),
    dict(badday="windy", plan="have a picnic", weatherbad="the wind blew the blanket away.", weatherbad_cap="The wind was so strong that the trees were bending.", badthing="wind",
         idea="[Let us|We can] have our picnic on the floor", ideadone="They put a blanket on the floor and ate {foods} and drank juice.",
         after="The yard was full of leaves, and they jumped into them.", lesson="you can change a plan and still be happy"),
    dict(badday="hot", plan="run and play", weatherbad="it was much too hot.", weatherbad_cap="It was very, very hot.", badthing="heat",
         idea="[Let us|We can] sit under the tree and splash water", ideadone="They filled a big tub with cold water and put their feet in it. Splash, splash!",
         after="The evening was cool and nice.", lesson="a good idea can save the day"),
])

plot("""
@open

But {h} had no friends to play with. {He} [felt lonely|was often alone].
{h} was new in town and did not know anyone.
{h} and {g} had just moved to a new home. {h} missed {his} old friends.
---
@one_day

{He} saw {a_fkind} [sitting alone|playing alone|sitting on a bench]. {FHis} name was {f}.
There was {a_fkind} named {f}. {f} was [all alone|playing with {ao}].
{He} saw {a_fkind} with {ao}.

{h} wanted to say hello, but {he} was [shy|afraid].
{h} stood behind a tree and watched. {He} was too shy to speak.
"What if {fhe} does not like me?" thought {h}.
-

Then {h} took a deep breath. "Hello," {he} said. "My name is {h}. What is your name?"
At last, {h} walked up and said, "Hi! I am {h}. Do you want to play?"
{h} smiled. "Can I play with you?" {he} asked.

"[I am|My name is] {f}," said the {fkind}. "I [would love to play|was hoping for a friend]."
"Yes!" said the {fkind}. "My name is {f}. I was lonely, too."
The {fkind} looked up and smiled. "[I am|My name is] {f}. Come and play!" {fhe} said.
---
They played [tag|hide and seek|catch] and {used}.
They {used} and talked about everything.
{f} showed {h} {ao}. They {used} together.

They ran and laughed until the sun went down.
Then they shared {a_food}.
{h} shared {his} {food} with {f}.
-

"Will you come back tomorrow?" asked {f}. "Yes!" said {h}. "[I promise|Every day]!"
"You are my first friend here," said {h}. "And you are mine," said {f}.
"Let us be friends," said {f}. "[Forever|Best friends]," said {h}.

From that day on, {h} and {f} played together every day.
{h} was not lonely anymore.
{h} ran home to tell {g}. "I have a friend!" {he} said.

-
@end
""", cases=[dict(stranger=True)])

plot("""
@open
{h} wanted to learn how to {skill}.
Once upon a time, there was a {kind} named {h} who could not {skill}.

{h} wanted to {skill}, but {he} did not know how.
All of {his} friends could {skill}, but {h} could not.
{f} could {skill}. {h} wanted to {skill} too.
---
One {t}, {h} tried. {fail}
{h} tried for the first time. {fail}
So {h} went outside and tried. {fail}

"I [cannot do it|will never learn]!" {he} said. {He} was [sad|mad|angry].
"It is too hard," said {h}.
@sad

{G} said, "[Do not give up|Try again]. {tip}"
"Everyone falls at first," said {g}. "{tip}"
{f} said, "I could not do it at first, too. {tip}"
---
{h} tried again. {fail2} But {he} did not give up.
The next day, {h} tried [again|once more]. {fail2} It was a little better.
{h} practiced every {t}. Some days were hard, and some days were better.

Day after day, {h} tried and tried.
{He} tried five times, then ten times.
-
---
Then one {t}, it [worked|happened]! {success}
At last, {success_low}
And then, all at once, {success_low}

"Look at me, {gn}!" {he} shouted. "I can {skill}!"
"I can do it! I can do it!" said {h}.
@happy

{G} clapped {gpos} hands. "[I knew you could|Well done|I am so proud of you]!" {g} said.
"You did not give up," said {g}. "[I am proud of you|That makes me happy]."
-

@lesson_end
""", cases=[
    dict(skill="ride a bike", fail="{He} fell off and hurt {his} knee.", fail2="The bike went left and right.", tip="Look ahead and keep going.",
         success="The bike went straight down the path, and {h} did not fall.", success_low="the bike went straight down the path, and {h} did not fall.", lesson="you must never give up"),
    dict(skill="swim", fail="Water got in {his} nose.", fail2="{He} splashed and splashed.", tip="Kick your legs and hold my hands.",
         success="{h} swam all the way across the pool.", success_low="{h} swam all the way across the pool.", lesson="practice makes you better"),
    dict(skill="whistle", fail="Only air came out.", fail2="It sounded like the wind.", tip="Make your lips round like an O.",
         success="A clear, high sound came out.", success_low="a clear, high sound came out.", lesson="small steps lead to big things"),
    dict(skill="tie {his} shoes", fail="The laces made a big knot.", fail2="The bow came open.", tip="Make two ears like a bunny.",
         success="{h} made a perfect bow.", success_low="{h} made a perfect bow.", lesson="it is good to keep trying"),
    dict(skill="read", fail="The letters looked like ants.", fail2="{He} could read two words.", tip="Say each letter, one by one.",
         success="{h} read a whole page out loud.", success_low="{h} read a whole page out loud.", lesson="practice makes you better"),
    dict(skill="skate", fail="{He} slipped and sat down on the ice.", fail2="{His} legs shook.", tip="Bend your knees and go slowly.",
         success="{h} went around and around on the ice.", success_low="{h} went around and around on the ice.", lesson="falling is a part of learning"),
    dict(skill="draw a horse", fail="It looked like a potato with legs.", fail2="The legs were too short.", tip="Look at the shapes first.",
         success="{h} drew a horse that looked ready to run.", success_low="{h} drew a horse that looked ready to run.", lesson="you must never give up"),
    dict(skill="play the flute", fail="It made a terrible sound.", fail2="It sounded like a sick goose.", tip="Blow softly and listen.",
         success="{h} played a whole song.", success_low="{h} played a whole song.", lesson="practice makes you better"),
], child=True, weight=1.4)

plot("""
@open

@one_day
One {t}, {h} went for a walk in the forest.
One {t}, {h} saw a [beautiful|blue|yellow] butterfly and ran after it.

{He} walked and walked. Soon {he} did not know where {he} was.
{h} followed a [butterfly|rabbit|path] and did not look back. Then {he} stopped. {He} was lost!
Everything was so interesting that {h} forgot to look where {he} was going. Soon {he} was lost.

"Where am I?" said {h}. "I want to go home."
"Hello? {gn}?" {h} called. But nobody answered.
@sad
---
Then {h} met {a_guide}. "Why are you crying?" asked the {guide}.
{A_guide} came out from behind a tree. "Are you lost, little one?" asked the {guide}.
Just then, {a_guide} came by. "What are you doing here all alone?" the {guide} asked.

"I cannot find my way home," said {h}.
"I am lost," said {h}. "I want to see {my_g}."
"I do not know the way back," said {h}.

"Do not worry," said the {guide}. "{guidehelp}"
"I can help you," said the {guide}. "{guidehelp}"

They walked past [a tall tree|a small bridge|a big rock] and over [a hill|a stream].
{h} walked close to the {guide}. [They sang a song so that {he} would not be afraid|It was getting dark, but {he} was not afraid anymore].
The {guide} told {h} a funny story on the way.
---
At last, {h} saw {his} home. {G} was standing at the door.
Soon they heard a voice. "{h}! {h}!" It was {g}.
And there, at the end of the path, was {g}.

{h} ran to {g}. "[I was so worried|I looked for you everywhere]!" said {g}.
{h} ran as fast as {he} could and hugged {g}.

"Thank you, kind {guide}," said {h}.
{G} thanked the {guide} and gave it {a_food}.
"The {guide} helped me," said {h}. {G} said, "Thank you!"

"I will not walk so far alone again," said {h}.
"Next time, I will stay close to you, {gn}," said {h}.
@end
""", cases=[
    dict(guide="owl", guidehelp="I can see far from the trees. Follow me."),
    dict(guide="deer", guidehelp="I know every path in the forest."),
    dict(guide="fox", guidehelp="I can smell the way to your home."),
    dict(guide="squirrel", guidehelp="I will climb up and look for your house."),
    dict(guide="rabbit", guidehelp="I pass your house every day. Hop after me."),
    dict(guide="bear", guidehelp="I look big, but I am kind. Come with me."),
    dict(guide="crow", guidehelp="I will fly ahead, and you follow me."),
    dict(guide="horse", guidehelp="Climb on my back. I will carry you."),
], weight=1.3)

plot("""
@open

It was {his} birthday. {h} woke up early.
Today was {his} birthday. {h} was so excited.
"Today is my birthday!" said {h}.

But nobody said happy birthday. {G} was [busy|not at home]. {f} did not come to play.
{He} ran to {g}, but {g} only said, "Good morning." {He} ran to {f}, but {f} was not there.
{h} waited for someone to say something. But nobody did.
---
"Did they all forget?" thought {h}.
"Maybe they forgot me," said {h} in a small voice.
@sad

{h} [walked|went] to the {pl} alone. [Even the birds were quiet|The day felt long].
{h} sat {in_pl} and looked at the sky.
-

When {he} came home, it was [dark|very quiet]. {He} opened the door.
Then {g} called, "{h}, can you come here?" {h} opened the door.
In the evening, {h} went home and opened the door.
---
"Surprise!" [everyone shouted|shouted {g} and {f}]. There were balloons and a [big|chocolate|strawberry] cake.
"Surprise! Happy birthday, {h}!" they all shouted.

{f} gave {h} {ao}. "[I made it for you|I hope you like it]," {fhe} said.
There was a box with a ribbon. Inside was {ao}!
{h} got {ao} from {f} and a kiss from {g}.

"You did not forget!" said {h}.
"I thought you forgot me," said {h}. "We could never forget you," said {g}.
@happy

They ate cake and {used}.
They sang and danced, and {h} blew out the candles.
{h} made a wish and blew out the candles.

@end
""")

plot("""
@open

One {t}, {g} gave {h} a [small|tiny|brown] seed. "[Put it in the ground|Plant it and wait]," said {g}.
One {t}, {h} found a [small|tiny|brown] seed. "What will it be?" {he} asked.

{h} made a hole in the [garden|ground] and put the seed in. {He} gave it some water.
{h} planted the seed in a pot and put it in the sun.
---
The next day, {h} looked. There was nothing. {He} looked again the next day. Still nothing.
{h} waited one day. {He} waited two days. Nothing happened.
Every morning, {h} ran to look. But there was only [dirt|brown ground].

"[It does not grow|My seed is sleeping]," said {h}. "[Be patient|Good things take time]," said {g}.
"Why is it so slow?" asked {h}. "A seed needs water, sun and time," said {g}.
{f} said, "Maybe it will never grow." But {h} did not give up.

So {h} gave it water every day. {He} even sang to it.
{h} kept giving it water. [When the sun was too hot, {he} made some shade|{He} told it stories].
---
Then one {t}, there was something green! {h} [jumped up and down|ran to get {g}].
One {t}, a [little|tiny] green leaf came out of the ground.
After many days, {h} saw a tiny green leaf. "It is growing!" {he} shouted.

It grew and grew. Soon it was {plant}.
The sun shone and the rain fell, and it became {plant}.
Day by day, it grew taller, until it was {plant}.

{plantend}

"You took good care of it," said {g}.
@happy
-

@lesson_end
""", cases=[
    dict(plant="a tall sunflower", plantend="It was taller than {h}! [The bees loved it|It looked like a little sun].", lesson="good things take time"),
    dict(plant="a big pumpkin", plantend="It was so big that {h} could [sit on it|not lift it].", lesson="you must be patient"),
    dict(plant="a red rose", plantend="It smelled so sweet that {f} came to smell it too.", lesson="love and water make things grow"),
    dict(plant="a plant full of tomatoes", plantend="{h} picked a tomato and gave it to {g}. It was sweet.", lesson="good things take time"),
    dict(plant="a strawberry plant", plantend="There were ten red strawberries. {h} gave five to {f}.", lesson="what you grow, you can share"),
    dict(plant="a small apple tree", plantend="\"One day, there will be apples,\" said {g}.", lesson="you must be patient"),
])

plot("""
@open

@friend

One {t}, there was a [big|great] race {in_pl}.
"There will be a race tomorrow," said {f}. "[Will you run|Let us run] too?"
{h} and {f} wanted to run a race {in_pl}.

{h} was not very fast, but {he} wanted to try.
{h} practiced every morning. {He} ran up the hill and down the hill.
"I will win," said {f}. "I will do my best," said {h}.
---
"One, two, three, go!" [shouted|said] {g}. Everyone ran.
The race began. {f} ran fast. {h} ran [behind|as fast as {he} could].

Then {f} fell down and hurt {fhis} [foot|knee|leg]. "Ouch!" cried {f}.
But then {f} tripped over a [stone|root] and fell.

{h} could win the race now! But {he} stopped.
{h} saw the finish line. It was so close. But {he} turned around.

"Are you okay?" asked {h}. {He} helped {f} up.
"Take my hand," said {h}. "We can go together."
---
They walked to the end together. They were [the last|not the first], but everyone clapped.
Hand in hand, they came to the finish. Everyone cheered.

"You could have won," said {f}. "Why did you stop?" "Because you are my friend," said {h}.
"A friend is better than a prize," said {h}.
{G} said, "You did not win the race, but you have a kind heart."

{g_cap} gave them both {a_food}.
They both got a [ribbon|medal|prize].
@hug

@lesson_end
""", cases=[dict(lesson="helping a friend is better than winning"), dict(lesson="a good friend stops to help"),
            dict(lesson="being kind is better than being first")])

plot("""
@open

One {t}, {g} made a big plate of {sweets}. "You can have [one|two]," said {g}.
There was a big bowl of {sweets} on the table. "These are for [the party|everyone]," said {g}. "Please do not eat them all."
{h} loved {sweets} more than anything. One {t}, {he} found a whole [box|bag] of {sweets}.

When {g} was gone, {h} ate one. Then {he} ate one more. Then {he} ate them all!
"Just one more," said {h}. But {he} ate one more, and one more, until they were all gone.
{h} ate and ate. {He} did not stop until there were no more {sweets}.
---
Soon {his} tummy began to hurt. "Ow, ow," said {h}.
Then {h} felt sick. {His} tummy was [big|round] and it hurt.

"What is wrong?" asked {g}.
{G} came in and saw the empty plate. "Oh, {h}," said {g}.

"I ate all the {sweets}," said {h}. "I am sorry."
"My tummy hurts," said {h}. "I ate too many {sweets}."
---
{G} gave {him} some [water|warm tea] and put {him} to bed.
{G} was not mad. {G} sat next to {him} and rubbed {his} tummy.

"[A few are a treat|One is nice], but too many will make you sick," said {g}.
"Next time, share them with {f}," said {g}.

The next day, {h} felt better. {He} helped {g} make new {sweets} and gave them to {f}.
The next day, {h} was well again. {He} ate only one and gave the rest to {f}.
When {he} felt better, {h} said, "From now on, I will [share|eat only one]."

@lesson_end
""", cases=[dict(sweets=s, lesson=l) for s, l in [
    ("cookies", "too much of a good thing is bad"), ("candies", "it is better to share"),
    ("berries", "it is good to stop when you are full"), ("cakes", "it is wise to listen"),
    ("cherries", "too much of a good thing is bad"), ("honey buns", "it is better to share")]])

plot("""
It was late, but {h} could not sleep.
It was night, and {h} was in bed. But {he} could not sleep.
@open
The moon was in the sky, and {h} the {kind} was still awake.

One night, {h} could not sleep. {He} turned left and {he} turned right.
{h} looked at the [wall|ceiling|moon]. {He} was not tired at all.
{h} closed {his} eyes, but they opened again.
---
"{gn}, I cannot sleep," said {h}.
{h} called, "{gn}!" {G} came in and sat on the bed.

"Count some sheep," said {g}. So {h} counted. One, two, three... But at ten, {he} was still awake.
"Drink some warm milk," said {g}. {h} drank the milk, but {he} was still awake.
"Hug your {o}," said {g}. {h} hugged {O}, but {he} was still awake.

Then {h} heard a sound. {night}
A sound came from outside. {night}
-

"Shall I [sing you a song|tell you a story]?" asked {g}. "Yes, please," said {h}.
"Close your eyes and think of {dream}," said {g}.
---
{G} sang about the moon and the stars. {His} eyes got heavy.
{G} told {him} about a little {animal} who could not sleep. The {animal} [looked at the stars|listened to the wind] until it was tired.
{G} held {his} hand and spoke very softly.

"Good night, {h}," said {g}. But {h} was already asleep.
Soon {h} was fast asleep, and {he} dreamed of {dream}.
{h} closed {his} eyes. "Good night, {gn}," {he} said. "Good night, moon."
""", cases=[dict(night=n) for n in ["It was an owl. \"Hoo, hoo,\" said the owl.", "It was only the wind in the trees.",
                                    "It was the rain on the roof. Tap, tap, tap.", "It was a cricket. It sang a little night song."]])

plot("""
@open
-

@one_day

There, {he} found {magic}. It [shone in the sun|was warm in {his} hand|was very old].
Something [shiny|bright] was in the grass. It was {magic}.

"I am magic," said a [small|soft] voice. "You can have [one|a] wish."
When {h} [touched|rubbed] it, a tiny fairy came out. "Make one wish," said the fairy.
---
{h} thought and thought. {He} could wish for {ao}. {He} could wish for a mountain of {foods}.
"What should I wish for?" thought {h}. "[A castle|{ao_cap}|A hundred {foods}]?"

Then {he} thought of {f}. {fneed}
But then {he} saw {f}. {fneed}

"I wish {fwish}," said {h}.
{h} closed {his} eyes. "I wish {fwish}," {he} said.
---
There was a flash of light. {fdone}
The magic made a sound like a bell. {fdone}

"[You have a good heart|That was a kind wish]," said the voice.
{f} asked, "Why did you not wish for something for yourself?" "Your smile is enough for me," said {h}.
"Thank you, {h}!" said {f}. "You are the best friend in the world."

@happy
-

@lesson_end
""", cases=[dict(magic=m, fneed=n, fwish=w, fdone=d, lesson=l) for m, (n, w, d, l) in zip(
    ["a golden ring", "a little lamp", "a blue stone", "a shiny coin", "a silver key", "a glass star"] * 2,
    [("{f} was sick and had been in bed for days.", "{f} was well again", "{f} sat up and smiled. {FHe} felt well again!", "the best wish is for a friend"),
     ("{f} was lonely because {fhis} family was far away.", "{f} could see {fhis} family", "And there was {fhis} family at the door!", "giving is better than getting"),
     ("{f} had no coat, and winter was near.", "{f} had a warm coat", "{f} had a warm red coat!", "the best wish is for a friend"),
     ("{f} was sad because {fhis} house was broken.", "{f} had a new house", "There was a [pretty |]little house with a green door!", "kindness is a kind of magic"),
     ("{f} was always hungry.", "{f} would never be hungry again", "A table full of food stood before {f}!", "giving is better than getting")] * 3)])

plot("""
@open

@one_day

{h} was playing with {his} {color} {flyer}. [The wind was strong|It went up, up, up].
{He} had a {color} {flyer}. {He} played with it happily.

Then the wind took it, and the {flyer} got stuck in a [tall |big |]tree.
Suddenly, it flew up into a [tall|big] tree and got stuck.

"Oh no, my {flyer}!" cried {h}.
"Come down, {flyer}!" said {h}. But it did not come down.
---
{h} jumped, but {he} was too small. {He} threw a stick, but it did not help.
{He} tried to climb the tree, but it was too tall.
{He} shook the tree, but the {flyer} did not move.

{f} came and tried too. {FHe} was too small, too.
"Let me try," said {f}. But {fhe} could not reach it.
-

Then {a_tall} came by. "Can I help?" asked the {tall}.
Then {h} saw {a_tall}. "Excuse me," {he} said. "Can you help me, please?"
---
The {tall} {tallhelp}. [Down came the {flyer}!|Now {h} had {his} {flyer} back!]
"No problem," said the {tall}. The {tall} {tallhelp}.

@happy

"Thank you, {tall}!" said {h}.
"Thank you!" said {h}. "Do you want to play with us?"
{h} gave the {tall} {a_food} to say thank you.

After that, {h} always played [far away from the trees|in the open field].
They all played together until it was time to go home.
@end
""", cases=[dict(flyer=fl, tall=t, tallhelp=th) for fl in ["kite", "ball", "balloon", "paper plane"] for t, th in [
    ("giraffe", "stretched its long neck and took it down"), ("elephant", "lifted its trunk and took it down"),
    ("bird", "flew up and pushed it down"), ("monkey", "climbed up and brought it down"),
    ("farmer", "got a long ladder and climbed up"), ("man with a ladder", "climbed up and brought it down"),
    ("squirrel", "ran up the tree and pushed it down")]])

plot("""
@open

One {t}, {h} was [very |so |]hungry. {He} had nothing to eat at home.
It was [winter|a cold day], and {h} was hungry.
One {t}, {h} went out to find some food.
"My tummy is empty," said {h} one {t}. "I will look for food."

{He} walked a long way. Then {he} found a big {bigfood} [under a tree|near the path|in the grass].
{He} looked {in_pl}, and there {he} found a big {bigfood}.

"[Yum|What luck]!" said {h}. "This is all for me."
{h} wanted to eat it all.
---
Then {a_an2} came by. "I am so hungry," said the {an2}. "May I have a little?"
Just then, {h} heard a sad voice. It was {a_an2}. "I have not eaten all day," it said.

{h} looked at the {bigfood}. Then {he} looked at the {an2}. "[Yes|Of course|Come and sit down]," {he} said. "We can share."
{h} wanted to say no. But the {an2} was so thin. "Here, take half," said {h}.

Then a tiny {an3} came, too. "Come and eat with us," said {h}.
A little {an3} came, and {h} shared with the {an3}, too.
-
---
They ate together and told funny stories.
It was not a lot of food, but it was a happy meal.

"Thank you," said the {an2}. "Now I will show you something." The {an2} took {h} to a [tree|bush] full of {fruit}!
The next day, the {an2} came back with a basket of {fruit}. "These are for you," said the {an2}.
"You were kind to me," said the {an2}. "I know where there is more food. Come!" And they found a field full of {fruit}.

@lesson_end
""", cases=[dict(bigfood=b, an2=a, an3=c, fruit=fr, lesson=l) for b, a, c, fr, l in [
    ("carrot", "goat", "mouse", "berries", "sharing brings friends"), ("apple", "deer", "ant", "apples", "when you share, you get more"),
    ("pumpkin", "horse", "bird", "nuts", "kindness comes back to you"), ("loaf of bread", "goose", "mouse", "plums", "sharing brings friends"),
    ("piece of cheese", "rat", "bug", "cherries", "there is always enough to share"), ("pear", "hen", "snail", "pears", "kindness comes back to you"),
    ("cabbage", "sheep", "bee", "grapes", "when you share, you get more")]], animal=True, weight=1.3)

plot("""
@open
-

One {t}, {h} and {g} went to the {trip}.
"Today we are going to the {trip}," said {g}. {h} was so excited.
"Can we go to the {trip}?" asked {h}. "Yes," said {g}. "Get your [hat|shoes|bag]."

{weather}
They [walked|took the bus|rode in the car] for a long time. {h} looked out at the [trees|houses|fields].
They took {a_food} and some water with them.
-
---
{sees}

"Look, {gn}!" said {h}. "[It is so beautiful|This is amazing|What is that]?"
"I have never seen anything like it," said {h}.
{h} asked many questions. {G} answered them all.

{tripdo}

Then they sat down and ate {a_food}. It was [very good|sweet|tasty].
"Are you hungry?" asked {g}. They ate {foods} in the [sun|shade].
-
---
When the sun went down, it was time to go home. "[Can we stay a little longer|Do we have to go]?" asked {h}. "We will come back," said {g}.
On the way home, {h} fell asleep. {G} carried {him} to bed.
{h} was tired but happy. "Thank you for today, {gn}," {he} said.
At home, {h} drew a picture of the {trip} and gave it to {g}.

@end
""", cases=[
    dict(trip="beach", sees="The sea was big and blue. The waves went up and down.", tripdo="{h} built a castle out of sand and put a shell on top. A wave came and took it away, so {he} built a new one."),
    dict(trip="zoo", sees="They saw lions, monkeys and a very tall giraffe.", tripdo="A monkey made a funny face at {h}. {h} made a funny face back. Everyone laughed."),
    dict(trip="farm", sees="There were cows, pigs and a fat white goose.", tripdo="{h} fed the goats and helped to find the eggs. One egg was still warm."),
    dict(trip="lake", sees="The water was so clear that they could see the fish.", tripdo="{h} threw small stones into the water. Plop, plop! A duck swam close to look."),
    dict(trip="mountain", sees="The mountain was so high that its top was white.", tripdo="They walked up and up. From the top, the houses looked like toys."),
    dict(trip="fair", sees="There was music everywhere, and a big wheel with lights.", tripdo="{h} rode on a wooden horse that went up and down. Then {he} won {ao}!"),
    dict(trip="museum", sees="There were bones of a huge dinosaur.", tripdo="{h} stood next to a giant foot. \"I am glad it is not hungry,\" {he} said."),
    dict(trip="market", sees="There were red apples, yellow cheese and flowers in every color.", tripdo="{h} carried the basket and counted the apples. A kind woman gave {him} a sweet plum."),
], weight=1.2)

plot("""
@open
-

One {t}, {g} said, "Your room is a mess. Please clean it up."
"Please pick up your toys," said {g} one {t}.
{his_cap} room was full of toys. {O_cap} was on the floor. "Please clean up," said {g}.

But {h} did not want to. "[Later|I want to play]," {he} said.
{h} did not listen. {He} {used} and forgot all about it.
"I do not like cleaning," said {h}.
---
Then {h} wanted to find {his} {lostthing}. {He} looked everywhere, but the room was too messy.
Later, {h} stepped on a toy. "Ouch!" {he} cried. {His} foot hurt.
When {f} came to play, there was no place to sit.

"I [should have listened|should clean up]," said {h}.
"{gn}, can you help me?" asked {h}. "We can do it together," said {g}.
"Let us make it a game," said {f}. "Who can pick up the most toys?"
---
{h} put the books on the shelf and the {o} in the box.
They sang a song and put everything in its place. The blocks went into the box, and the books went on the shelf.
One by one, {h} picked up the toys. Soon the floor was clean.

And under the bed, {he} found {his} {lostthing}!
And look, there was the {lostthing}!
-

"[It looks so nice|What a clean room]!" said {g}.
Now there was so much room to play. {h} {used} with {f}.
{G} smiled. "Well done," said {g}. {G} gave {him} {a_food}.

@lesson_end
""", cases=[dict(lostthing=x, lesson=l) for x, l in [("blue sock", "it is good to keep things clean"), ("green crayon", "work can be fun"),
            ("favorite book", "it is good to listen"), ("red mitten", "many hands make the work easy"), ("lucky stone", "everything has its place")]], child=True)

plot("""
@open
-

One night, {h} heard a [strange|funny] noise. {noise}
It was dark outside. {h} was in bed when {he} heard a noise. {noise}
In the middle of the night, {h} woke up. {noise}

"What is that?" [whispered|said] {h}.
"Is it a monster?" thought {h}. {He} pulled the blanket over {his} head.
{h} was afraid. {He} held {his} {o} tight.
---
The noise came again. {noise}
{h} listened. There it was again. {noise}

{h} woke up {g}. "There is something [outside|in the house]," {he} said.
But {h} was also curious. {He} took a lamp and went to look.
"I will be brave," said {h}. {He} got up and [walked slowly|went on tiptoe] to the door.

Slowly, {h} opened the door.
{He} looked behind the door and shone a light.
---
It was not a monster. It was {noisemaker}!
And there was {noisemaker}. {h} began to laugh.
"Oh!" said {h}. "It is only {noisemaker}!"

{noiseend}

"I was scared of something so small," said {h}.
"[Things sound bigger in the dark|You were very brave]," said {g}.
{h} was not scared anymore. {He} went back to bed and slept [well|until morning].

@end
""", cases=[
    dict(noise="Scratch, scratch, scratch.", noisemaker="a small kitten", noiseend="The kitten was cold, so {h} gave it a blanket and some milk."),
    dict(noise="Tap, tap, tap.", noisemaker="a branch that touched the window", noiseend="{h} waved at the tree. \"Good night, tree,\" {he} said."),
    dict(noise="Bump, bump, bump.", noisemaker="a little hedgehog with a cup on its head", noiseend="{h} took off the cup, and the hedgehog was free."),
    dict(noise="Squeak, squeak.", noisemaker="a tiny mouse with a big piece of cheese", noiseend="\"You can have it,\" said {h}. \"Good night, mouse.\""),
    dict(noise="Crunch, crunch.", noisemaker="{f}, eating {a_food} in the kitchen", noiseend="\"I was hungry,\" said {f}. They both laughed and shared it."),
    dict(noise="Drip, drop, drip, drop.", noisemaker="water from the roof", noiseend="{h} put a bucket under it. Plink, plonk! It sounded like music."),
])

plot("""
@open

One {t}, {f} was sick and had to stay in bed.
One {t}, {h} heard that {f} was sick.
{f} did not come to play today. "{f} is sick," said {g}.

{h} wanted to make {f} feel better.
"Poor {f}," said {h}. "What can I do?"
"I will cheer {fhim} up," said {h}.
---
First, {he} made {gift1}. Then {he} took {a_food} and put it all in a basket.
{h} made {gift1} and picked some flowers.
{He} thought about what {f} liked best. So {he} made {gift1}.

{h} walked to {fhis} house. [It was far, but {he} did not stop|It began to rain, but {he} walked on].
Then {h} went to {fhis} house and knocked on the door.
---
{f} was in bed. {FHis} nose was red. "Hello, {h}," {fhe} said in a weak voice.
{f} was lying in bed and looked [sad|tired|pale].

"I have something for you," said {h}.
"Look what I have!" said {h}, and {he} showed {fhim} {gift1}.

{f} began to smile. "[You are so kind|I love it]!" {fhe} said.
{f} laughed for the first time that day. "I feel better already," {fhe} said.

{h} read {fhim} a story about a brave {animal}.
They played a quiet game together.
{h} stayed until {f} fell asleep.
-

[A few days later|The next week], {f} was well again, and they {used} together.
Soon {f} was well. "You are the best medicine," {fhe} said.
The next day, {f} was much better.

@lesson_end
""", cases=[dict(gift1=g, lesson=l) for g, l in [("a card with a big sun on it", "a kind act can make someone feel better"), ("a pot of soup", "friends take care of each other"),
            ("a paper bird", "small gifts can make big smiles"), ("a funny hat", "laughing is good for you"), ("a picture of the two of them", "friends take care of each other")]])

plot("""
@open

@friend

One {t}, {h} and {f} wanted to build {build}.
"Let us build {build}!" said {h} one {t}.
One {t}, {f} had an idea. "We can build {build}," {fhe} said.

They used {material}. {h} [worked on the left side|held the pieces], and {f} [worked on the right side|put them together].
They found {material} and started to work.
---
But then {f} said, "It must be [big|tall]." And {h} said, "No, it must be [small|wide]."
"I want to do it my way," said {h}. "No, my way is better," said {f}.

They [shouted|pulled and pushed], and {build} fell down.
They did not work together, and soon it all fell down. Crash!

They looked at each other. "Oh no," they said.
{h} wanted to cry. "It is all broken," {he} said.
---
"I am sorry," said {h}. "Your idea was good, too."
"Let us try again, together," said {f}. "I will listen to you."
{G} came and looked. "What if you use both ideas?" asked {g}.

So they started again. This time, they talked and listened.
They tried again. {h} helped {f}, and {f} helped {h}.

Soon they had {build}, and it was [wonderful|the best one ever|even better than before].
When it was done, it was beautiful.

{h} put {O} inside, and {f} brought {foods}.
They sat down and ate {foods}.
They called {g} to come and see it.

@lesson_end
""", cases=[dict(build=b, material=m, lesson=l) for b, m, l in [
    ("a tree house", "old wood and rope", "it is better to work together"), ("a sand castle", "sand and shells", "two ideas are better than one"),
    ("a boat", "sticks and a big leaf", "friends should listen to each other"), ("a fort", "chairs and blankets", "it is better to work together"),
    ("a snow house", "blocks of snow", "friends should listen to each other"), ("a little bridge", "stones and wood", "two ideas are better than one"),
    ("a bird house", "wood and green paint", "it is better to work together")]])

plot("""
@open

But {h} was different. {different}
{different} Some of the others laughed at {him}.

"You [look funny|are not like us]," they said. {h} felt sad.
The others did not want to play with {him}.
"Why am I not like the others?" {h} asked {g}. "You are special," said {g}.
---
@one_day

Then {dtrouble}

Nobody knew what to do. Everyone was afraid.
"Help! Help!" they called.

"I can help!" said {h}.
{h} was not afraid. "I have an idea," {he} said.
---
{dsave}

Everyone [cheered|clapped]. "Thank you, {h}!" they said.
"You saved the day!" they all shouted.

"We are sorry that we laughed," they said. "[Will you play with us|Can you be our friend]?" {h} smiled and said yes.
From then on, nobody laughed at {h} again.

@lesson_end
""", cases=[
    dict(different="{He} had very big ears.", dtrouble="a little bird got lost in the [fog|forest], and nobody could see it.", dsave="With {his} big ears, {h} could hear its small voice. {He} walked to the sound and brought the bird home.", lesson="being different is a gift"),
    dict(different="{He} was very small.", dtrouble="{f} dropped a key into a narrow hole.", dsave="{h} was so small that {he} could climb into the hole. {He} came back with the key.", lesson="small ones can do big things"),
    dict(different="{He} was very slow.", dtrouble="the path was full of holes, and everyone who ran fell down.", dsave="{h} walked slowly and showed them the safe way, step by step.", lesson="slow can be good, too"),
    dict(different="{He} had a very loud voice.", dtrouble="the river began to rise, and the ones who were asleep did not know.", dsave="{h} shouted, \"Wake up! Wake up!\" Everyone heard {him} and ran up the hill.", lesson="everyone has a gift"),
    dict(different="{He} had a very long neck.", dtrouble="{f} was lost in the tall grass.", dsave="{h} looked over the grass and saw {f}. \"This way!\" {he} called.", lesson="being different is a gift"),
    dict(different="{He} asked questions all day long.", dtrouble="the bridge was broken, and nobody could cross the river.", dsave="{h} asked, \"What if we put a big log across?\" They tried it, and it worked.", lesson="a good question can save the day"),
], animal=True)

plot("""
@open

One {t}, {g} [gave|brought] {h} a [small|gray|brown|white] {pet}. "[Take good care of it|It needs a friend]," said {g}.
{h} always wanted a pet. One {t}, {g} came home with a {pet}.
One {t}, a {pet} came to the door. It had no home, so it stayed with {h}.

{h} named the {pet} {petname}.
"I will call you {petname}," said {h}.
---
{petname} liked to {pethab}. {h} laughed and laughed.
Every day, {h} gave {petname} food and water. {petname} liked to {pethab}.

At night, {petname} slept [next to {his} bed|at {his} feet|on {his} pillow].
{h} and {petname} were always together.
-

But one {t}, {petname} was [not there|gone]. The door was open.
One {t}, {h} forgot to close the gate, and {petname} ran away.
One {t}, {h} called, "{petname}!" But {petname} did not come.
---
{h} looked {spot}. {He} looked {spot2}. "{petname}! {petname}!" {he} called.
{h} and {g} looked {in_pl} and on every street.

@sad

Then {he} heard a sound {spot3}. [It was {petname}!|There was {petname}!]
Then {f} came running. "I found {petname}!" {fhe} said. "{petname} was {spot3}."
When {h} came home, {petname} was sitting at the door.

"I missed you so much!" said {h}, and {he} hugged {petname}.
@happy

"I will take better care of you," said {h}. And {he} did.
From that day on, {h} always closed the gate.
@end
""", cases=[dict(pet=p, pethab=b) for p, b in [
    ("puppy", "chase its tail"), ("kitten", "play with a ball of string"), ("rabbit", "hop around the room"), ("hamster", "run in its wheel"),
    ("parrot", "say \"hello\" to everyone"), ("duck", "follow {h} everywhere"), ("goat", "eat {his} socks")]], child=True, weight=1.2)

plot("""
@open
{h} was [bored|looking for something to do].

One {t}, {h} found an old [map|key|letter] in a [box|book]. "[A treasure|What is this]!" {he} said.
One {t}, {f} came with a map. "Look, a treasure map!" {fhe} said.

"Let us find the treasure!" said {h} to {f}.
{h} ran to {f}. "Will you come with me?" {he} asked. "Yes!" said {f}.
---
First, they walked to the {pl}. Then they went over [a hill|a small bridge|a stream].
The map showed a [big rock|tall tree|small cave]. They walked and walked.

On the way, they met {a_an2}. "Where are you going?" asked the {an2}. "To find a treasure!" said {h}. "Come with us!"
It began to rain, but they did not stop.
They were tired, so they sat down and ate {foods}.
-

At last, they saw a big X on the ground. They [dug and dug|began to dig].
Then they came to an old tree with a hole in it. {h} put {his} hand inside.
---
There was a box! Inside was {treasure}.
They found a small box. {h} opened it. Inside was {treasure}.

"[Wow|Oh]!" said {f}. "[It is so pretty|What a surprise]!"
It was not gold, but {h} did not mind.

"The best part was looking for it with you," said {h}.
They shared it [fairly|with everyone].
They took it home and showed {g}.

@lesson_end
""", cases=[dict(treasure=t, an2=a, lesson=l) for t, a, l in [
    ("a pile of shiny stones", "fox", "a friend is the best treasure"), ("a music box that played a soft song", "goat", "an adventure is more fun with a friend"),
    ("a note that said, \"You are brave\"", "frog", "a friend is the best treasure"), ("a bag of golden buttons", "crow", "sharing makes you rich"),
    ("a bag of old toys", "turtle", "old things can be new to someone"), ("a bottle with a tiny ship in it", "dog", "an adventure is more fun with a friend")]])

plot("""
@open

{h} had a [bad|grumpy] morning. {grump}
One {t}, {h} woke up and was [mad|grumpy|angry]. {grump}

{f} said, "Good morning!" But {h} said, "Go away!"
{G} said, "Come and eat." But {h} said, "No!"
{h} kicked {his} {o}. {He} did not want to talk to anyone.
---
{f} looked sad. "Why are you so mad?" asked {f}.
{G} sat down beside {him}. "What happened?" {g} asked.
{G} did not shout. "Tell me what is wrong," said {g}.

"Everything is bad today," said {h}.
"I do not know," said {h}. "I am just mad."

"When I am mad, I {calm}," said {g}. "Do you want to try it?"
"Sometimes I feel like that, too," said {g}. "Then I {calm}. Come, we will do it together."
---
So they did it together. Slowly, the mad feeling went away.
{h} tried it. At first nothing happened. Then {he} began to smile.

{h} went to {f}. "I am sorry I was not nice," {he} said. "That is okay," said {f}.
"I feel better now," said {h}. "I am sorry I shouted."

Then they {used}, and the day was good again.
They shared {a_food} and laughed about the morning.
@hug

@lesson_end
""", cases=[dict(grump=g, calm=c, lesson=l) for g, c, l in [
    ("{His} milk fell on the floor.", "take three deep breaths", "a bad morning can become a good day"),
    ("{He} could not find {his} shoe.", "count to ten", "it is okay to be mad, but not to be mean"),
    ("It was raining, and {his} {o} was broken.", "look at the clouds and breathe", "feelings come and go"),
    ("{His} hair was full of knots.", "hum a little song", "a song can chase a bad mood away"),
    ("{He} had to eat soup for breakfast.", "go for a walk", "talking about it helps")]])

NEIGHBORS = ["Mrs. Green", "Mr. Brown", "old Mr. Hill", "Mrs. Bell", "Mr. Stone", "Aunt May", "Uncle Bob", "Mrs. Lake"]
CHORES = ["wash the dishes", "sweep the floor", "feed the hens", "carry the wood", "water the plants", "fold the clothes",
          "clean the windows", "pick up the leaves", "set the table", "brush the dog", "carry the bags", "help in the garden"]
SPOTS = ["under the bed", "behind the door", "in the garden", "under the table", "in the big box", "behind the chair",
         "in the kitchen", "under the tree", "in the tall grass", "by the river", "behind the sofa", "near the well",
         "in the basket", "on the roof of the shed", "under a pile of leaves"]
DREAMS = ["stars and soft clouds", "flying over the sea", "a ship with white sails", "a garden full of flowers",
          "new adventures", "a friendly dragon", "riding on a cloud", "a land made of cake", "the moon", "a warm summer day"]
PETNAMES = "Spot Fluffy Snowy Button Patch Pepper Cookie Sunny Tiger Star Coco Muffin".split()
GROWNUPS = [("mom", "Mom", "her"), ("mom", "Mom", "her"), ("dad", "Dad", "his"), ("dad", "Dad", "his"),
            ("grandma", "Grandma", "her"), ("grandpa", "Grandpa", "his"), ("mother", "Mother", "her"),
            ("father", "Father", "his"), ("aunt", "Auntie", "her"), ("uncle", "Uncle", "his")]


def with_article(noun):
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def plural(noun):
    if " of " in noun:
        head, _, rest = noun.partition(" of ")
        return plural(head) + " of " + rest
    if noun.endswith("ch"):
        return noun + "es"
    return noun + "s"


class World:
    """The values of one story.

    h f g                hero's and friend's name, grown-up ("her mom"; gn: "Mom")
    he him his, fhe ...  pronouns of hero and friend; gpos: grown-up's his or her
    o O ao               toy: "ball", "the red ball", "a red ball"
    use used using       what is done with the toy
    pl in_pl t           place ("park", "in the park"), time of day
    """

    def __init__(self, rng, story):
        pick = rng.choice
        child = story["child"] or (not story["animal"] and rng.random() < 0.68)
        girl = rng.random() < 0.5
        if child:
            kind, name = ("girl", pick(GIRLS)) if girl else ("boy", pick(BOYS))
            home = pick(["in a [little|small|yellow|white] house [on a hill|near the forest|by the sea|at the end of the road]",
                         "in a [big|busy|small|quiet] town", "on a [small|green] farm", "in a [small|quiet] village", "near the [river|forest|sea]"])
        else:
            kind = pick(list(ANIMALS))
            name, home = pick(ANIMAL_GIRLS if girl else ANIMAL_BOYS), ANIMALS[kind]
        friend_girl = rng.random() < 0.5
        if child and rng.random() < 0.65:
            fkind, pool = ("girl", GIRLS) if friend_girl else ("boy", BOYS)
        else:
            fkind, pool = pick([k for k in ANIMALS if k != kind]), ANIMAL_GIRLS if friend_girl else ANIMAL_BOYS
        friend = pick([n for n in pool if n != name])
        he, him, his = ("she", "her", "her") if girl else ("he", "him", "his")
        fhe, fhim, fhis = ("she", "her", "her") if friend_girl else ("he", "him", "his")
        grown, vocative, gpos = pick(GROWNUPS)
        toy, color, food = pick(list(TOYS)), pick(COLORS), pick(FOODS)
        if toy == "teddy bear" or (toy == "wooden horse" and kind == "pony"):
            color = pick(["brown", "white", "little", "soft"])
        use = pick(TOYS[toy])
        place = pick(OUTDOORS if rng.random() < 0.8 else list(PLACES))
        stranger = story["cases"][0].get("stranger", False)
        hobbies = rng.sample([x for x in HOBBIES if not (stranger and "friend" in x)], 2)
        chores = rng.sample(CHORES, 2)
        spots = rng.sample(SPOTS, 3)
        sized = f"{pick(['big', 'little', 'small', 'shiny', 'new', 'old', 'pretty'])} {color} {toy}"
        desc = f"{color} {toy}" if rng.random() < 0.7 else sized
        self.values = dict(
            h=name, he=he, him=him, his=his, He=he.capitalize(), His=his.capitalize(), his_cap=his.capitalize(),
            kind=kind, home=home, adj=pick(ADJ), f=friend, fkind=fkind, a_fkind=with_article(fkind), fhe=fhe, fhim=fhim,
            fhis=fhis, FHe=fhe.capitalize(), FHis=fhis.capitalize(), g=f"{his} {grown}", gs=f"{his} {grown}'s",
            my_g=f"my {grown}", G=f"{his.capitalize()} {grown}", Gs=f"{his.capitalize()} {grown}'s", g_cap=f"{his.capitalize()} {grown}", gn=vocative, gpos=gpos,
            o=toy, O=f"the {color} {toy}", O_cap=f"The {color} {toy}", ao=with_article(desc), ao_cap=with_article(desc).capitalize(), color=color, use=use, used=past(use),
            using=gerund(use), pl=place, in_pl=f"{PLACES[place]} the {place}", t=pick(TIMES), weather=pick(WEATHERS),
            hobby=hobbies[0], hobby2=hobbies[1], chored=past(chores[0]), chored2=past(chores[1]), spot=spots[0],
            spot2=spots[1], spot3=spots[2], food=food, a_food=with_article(food), foods=plural(food), dream=pick(DREAMS),
            neighbor=pick(NEIGHBORS), petname=pick(PETNAMES), animal=pick([k for k in ANIMALS if k != kind]),
            lesson="it is good to be kind")
        case = dict(rng.choice(story["cases"]))
        if case.get("guide") == kind or case.get("an2") == kind or case.get("baby") == kind or case.get("tall") == kind:
            case = next(c for c in story["cases"] if kind not in c.values())
        self.values.update(case)
        if "try_" in case:
            self.values["try"] = case["try_"]
        for key in ("guide", "an2", "tall"):
            if key in case:
                self.values["a_" + key] = with_article(case[key])
                self.values["A_" + key] = with_article(case[key]).capitalize()


CHOICE = re.compile(r"\[([^\[\]]*)\]")
FIELD = re.compile(r"\{(\w+)\}")


def render(text, values, rng):
    for _ in range(6):  # values hold fields and choices themselves
        while CHOICE.search(text):
            text = CHOICE.sub(lambda m: rng.choice(m.group(1).split("|")), text, count=1)
        if not FIELD.search(text):
            break
        text = FIELD.sub(lambda m: values[m.group(1)], text)
    text = re.sub(r" +([,.!?])", r"\1", re.sub(r"\s+", " ", text)).strip()
    return re.sub(r'(^"?|[.!?]"? +"?|\. +|[.]" )([a-z])', capitalize_start, text)


def capitalize_start(match):
    before, letter = match.groups()
    if re.match(r'[!?]" +$', before):  # "Why?" asked Ben: the sentence goes on
        return match.group(0)
    return before + letter.upper()


def lines_of(slots, rng):
    for slot in slots:
        line = rng.choice(slot)
        if line.startswith("@"):
            yield from lines_of(BLOCKS[line[1:]], rng)
        elif line != "-":
            yield line


def introduce_friend(text, values):
    """Writes "his friend Ben" where Ben comes up first, unless the text says who he is."""
    at = text.find(values["f"])
    before = text[:at]
    if at < 0 or values.get("stranger") or before.count('"') % 2 or re.search(r"friend|name", before[-60:]):
        return text
    if re.match(r"\w+ was (his|her) best friend|[\w, ]*\bfriends?\b", text[at:at + 60]):
        return text
    his = values["His"] if not before or re.search(r'([.!]"?|\n)\s*$', before) else values["his"]
    return f"{before}{his} friend {text[at:]}"


def make_story(rng):
    story = rng.choices(PLOTS, [p["weight"] for p in PLOTS])[0]
    values = World(rng, story).values
    paragraphs = []
    for slots in story["paragraphs"]:
        sentences = [render(line, values, rng) for line in lines_of(slots, rng)]
        if sentences:
            paragraphs.append(" ".join(sentences))
    joined = (" " if rng.random() < 0.15 else "\n\n").join(paragraphs)
    return introduce_friend(joined, values)


def stories(seed, total_bytes):
    rng = random.Random(seed)
    written = 0
    while written < total_bytes:
        text = make_story(rng)
        written += len(text)
        yield text


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--megabytes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with open(args.out, "w", encoding="utf-8") as out:
        for text in stories(args.seed, int(args.megabytes * 1e6)):
            out.write(text + "\n<|end|>\n")


if __name__ == "__main__":
    main()

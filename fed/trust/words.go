package trust

import (
	"bytes"
	"crypto/sha256"
	"strings"

	"tresor/fed/wire"
)

// Words gives a key as ten words (80 bits) for two people to compare.
func Words(k wire.Key) string { return spell("key", k[:]) }

// PairWords gives the same ten words at both ends of a link: they are equal only
// when both ends pinned the keys of each other.
func PairWords(a, b wire.Key) string {
	if bytes.Compare(a[:], b[:]) > 0 {
		a, b = b, a
	}
	return spell("pair", append(a[:], b[:]...))
}

func spell(name string, data []byte) string {
	sum := sha256.Sum256(append([]byte("tresor/fed/1/words/"+name+"\n"), data...))
	out := make([]string, 10)
	for i := range out {
		out[i] = words[sum[i]]
	}
	return strings.Join(out, " ")
}

// words are 256 short words with different sounds. Their order is part of the
// protocol: never change it.
var words = strings.Fields(`
acorn album alley amber anchor angle ankle apple april apron arrow atlas attic august autumn award
bacon badge baker balcony bamboo banana banjo barrel basket beach beaver beetle belt berry bicycle bishop
blanket blossom boat bonfire border bottle branch bread bridge broom bucket buffalo butter button cabin cactus
camel candle canoe canvas captain carpet carrot castle cedar celery chalk cherry chimney cinema circus clover
cobalt coffee comet compass copper coral cotton cradle crayon cricket crystal cushion daisy dancer desert diamond
dinner dolphin donkey dragon drum eagle easel echo eleven elbow ember engine eraser evening falcon feather
fiddle finger flame flute forest fossil fountain fox galaxy garden garlic gazelle ginger giraffe glacier glove
goose grape gravel guitar hammer harbour harvest hazel hedge helmet heron hockey honey horizon hotel iceberg
igloo indigo insect island ivory jacket jaguar jasmine jelly jigsaw jungle kayak kernel kettle kitchen kiwi
ladder lagoon lantern lemon leopard library lilac lizard lobster locket lotus magnet mango maple marble market
meadow melon metro mirror mitten monkey morning mosaic mountain muffin museum napkin needle nickel nutmeg oasis
ocean olive onion opera orange orchid otter oyster paddle palace panda paper parrot pebble pencil pepper
piano pigeon pillow planet plum pocket polar pony potato prairie pumpkin puzzle quarry quilt rabbit radio
rainbow raven ribbon river rocket rooster saddle salad salmon sandal saturn saucer shadow shovel silver spider
squirrel stable sugar summit sunset swan table teapot temple thunder tiger timber tomato trumpet tulip tunnel
turtle umbrella valley vanilla velvet violin walnut walrus whistle willow window winter wizard wolf yellow zebra`)

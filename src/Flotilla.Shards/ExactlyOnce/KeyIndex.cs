using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Flotilla.Shards.ExactlyOnce;

/// <summary>
/// Finds a key's place by its name: chains through the pages' links, from buckets in 256 parts that grow and shrink each for
/// itself, so that no single write pays for moving all. 4 to 8 bytes a key beside the link, when there are many.
/// </summary>
/// <remarks>
/// Which bucket a name falls into depends on numbers drawn when the process starts: names follow from keys that clients
/// choose, and nobody shall be able to choose thousands for one bucket (hazard 64). It is the one use of chance among what
/// decides, and decides nothing: a name is found or not, whatever its bucket, and nothing here is ever enumerated.
/// </remarks>
internal sealed class KeyIndex(KeyPages pages)
{
    private const int Parts = 256;
    private const int SmallestPart = 16;

    private static readonly ulong Seed0 = Drawn();
    private static readonly ulong Seed1 = Drawn();

    // None before the first key: a node may have many tables that are never used.
    private Buckets[] _parts = [];

    /// <summary>The place of the key with this name; below 0 if there is none.</summary>
    public int Find(UInt128 name)
    {
        var bucket = BucketOf(name);
        if (_parts.Length == 0 || _parts[Part(bucket)].First is not { } part)
        {
            return -1;
        }

        var place = part[In(part, bucket)] - 1;
        while (place >= 0 && !pages[place].Is(KeyPages.OffsetOf(place), name))
        {
            place = pages[place].Links[KeyPages.OffsetOf(place)] - 1;
        }

        return place;
    }

    /// <summary>Adds a key whose name is not there.</summary>
    public void Add(UInt128 name, int place)
    {
        if (_parts.Length == 0)
        {
            _parts = new Buckets[Parts];
        }

        var bucket = BucketOf(name);
        ref var part = ref _parts[Part(bucket)];
        part.First ??= new int[SmallestPart];
        if (part.Count == part.First.Length)
        {
            part.First = Moved(part.First, part.First.Length * 2);
        }

        Link(part.First, bucket, place);
        part.Count++;
    }

    /// <summary>Removes the key at a place, if it is the one that <see cref="Find"/> gives.</summary>
    public void Remove(UInt128 name, int place)
    {
        if (_parts.Length == 0)
        {
            return;
        }

        var bucket = BucketOf(name);
        ref var part = ref _parts[Part(bucket)];
        if (part.First is null)
        {
            return;
        }

        ref var link = ref part.First[In(part.First, bucket)];
        while (link != 0)
        {
            var at = link - 1;
            ref var next = ref pages[at].Links[KeyPages.OffsetOf(at)];
            if (at == place)
            {
                link = next;
                part.Count--;
                part.First = part.Count == 0 ? null
                    : part.First.Length > SmallestPart && part.Count < part.First.Length / 4 ? Moved(part.First, part.First.Length / 2)
                    : part.First;
                return;
            }

            link = ref next;
        }
    }

    private int[] Moved(int[] from, int length)
    {
        var to = new int[length];
        foreach (var first in from)
        {
            for (var place = first - 1; place >= 0;)
            {
                var page = pages[place];
                var offset = KeyPages.OffsetOf(place);
                var next = page.Links[offset] - 1;
                Link(to, BucketOf(page.NameOf(offset)), place);
                place = next;
            }
        }

        return to;
    }

    private void Link(int[] part, ulong bucket, int place)
    {
        ref var first = ref part[In(part, bucket)];
        pages[place].Links[KeyPages.OffsetOf(place)] = first;
        first = place + 1;
    }

    // Multiply-shift with odd factors that nobody knows: the upper bits are the well mixed ones.
    private static ulong BucketOf(UInt128 name) => ((ulong)name * Seed0) + ((ulong)(name >> 64) * Seed1);

    private static int Part(ulong bucket) => (int)(bucket >> 56);

    private static int In(int[] part, ulong bucket) => (int)((bucket >> 24) & (uint)(part.Length - 1));

    private static ulong Drawn() => BinaryPrimitives.ReadUInt64LittleEndian(RandomNumberGenerator.GetBytes(sizeof(ulong))) | 1;

    private struct Buckets
    {
        /// <summary>By bucket the place of the first key, and 1; 0 for none.</summary>
        public int[]? First;

        /// <summary>How many keys there are.</summary>
        public int Count;
    }
}

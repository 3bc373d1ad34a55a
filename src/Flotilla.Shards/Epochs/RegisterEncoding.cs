using Flotilla.Registers;

namespace Flotilla.Shards.Epochs;

/// <summary>How stamps, items and questions are written in the formats of register epochs.</summary>
/// <remarks>
/// <code>
/// stamp    = version  expired:u8 (0, 1)
/// item     = key:bytes (1 or more)  version  flags:u8 (1 gone, 3 gone and expired, 0 neither)   if not gone: expiry:varint (ms)  value:bytes
/// question = boot:varint  number:varint
/// </code>
/// </remarks>
internal static class RegisterEncoding
{
    private const byte Gone = 1;
    private const byte Expired = 2;

    public static void Stamp(this EncodedWriter writer, Stamp stamp)
    {
        writer.Version(stamp.Version);
        writer.Byte(stamp.Expired ? (byte)1 : (byte)0);
    }

    public static Stamp Stamp<T>(ref this EncodedReader<T> reader)
        where T : IMalformed
    {
        var version = reader.Version();
        return new Stamp(version, reader.Flag());
    }

    public static void Flag(this EncodedWriter writer, bool value) => writer.Byte(value ? (byte)1 : (byte)0);

    public static bool Flag<T>(ref this EncodedReader<T> reader)
        where T : IMalformed
    {
        var flag = reader.Byte();
        reader.Require(flag <= 1, "a flag is neither set nor not set");
        return flag == 1;
    }

    public static void Item(this EncodedWriter writer, in Item item)
    {
        writer.Bytes(item.Key.Span);
        writer.Version(item.Stamp.Version);
        writer.Byte((byte)((item.IsGone ? Gone : 0) | (item.Stamp.Expired ? Expired : 0)));
        if (!item.IsGone)
        {
            writer.Varint((ulong)item.ExpiresAtMs);
            writer.Bytes(item.Value.Span);
        }
    }

    public static Item Item<T>(ref this EncodedReader<T> reader)
        where T : IMalformed
    {
        var key = reader.Bytes();
        reader.Require(!key.IsEmpty, "a key is empty");
        var version = reader.Version();
        var flags = reader.Byte();
        reader.Require(flags is 0 or Gone or (Gone | Expired), "an item has flags that do not go together");
        var stamp = new Stamp(version, (flags & Expired) != 0);
        if ((flags & Gone) != 0)
        {
            return Registers.Item.Gone(key, stamp);
        }

        var expiresAtMs = (long)reader.Varint(long.MaxValue);
        return Registers.Item.Of(key, stamp, reader.Bytes(), expiresAtMs);
    }

    public static void Items(this EncodedWriter writer, IReadOnlyList<Item> items)
    {
        writer.Varint((uint)items.Count);
        foreach (var item in items)
        {
            writer.Item(in item);
        }
    }

    public static List<Item> Items<T>(ref this EncodedReader<T> reader)
        where T : IMalformed
    {
        // No memory is set aside for the count that is claimed.
        var items = new List<Item>();
        for (var count = reader.Int32(0, int.MaxValue); count > 0; count--)
        {
            items.Add(reader.Item());
        }

        return items;
    }

    public static void Epoch(this EncodedWriter writer, RegisterEpoch epoch) => writer.Varint(epoch.Value);

    public static RegisterEpoch Epoch<T>(ref this EncodedReader<T> reader)
        where T : IMalformed => new(reader.Varint(ulong.MaxValue));

    public static int CostOf(IReadOnlyList<Item> items) => 64 + items.Sum(static item => item.Cost + 32);
}

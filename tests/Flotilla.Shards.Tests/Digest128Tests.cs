using Flotilla.Raft;
using Flotilla.Shards.ExactlyOnce;
using Flotilla.Topology;
using static Flotilla.Shards.Tests.Harness.Words;
using Version = Flotilla.Data.Version;

namespace Flotilla.Shards.Tests;

public sealed class Digest128Tests
{
    // From another implementation: openssl mac -macopt hexkey:000102030405060708090a0b0c0d0e0f -macopt size:16 -in FILE SIPHASH
    [Theory]
    [InlineData(0, "A3817F04BA25A8E66DF67214C7550293")]
    [InlineData(1, "3B62A9BA6258F5610F83E264F31497B4")]
    [InlineData(2, "6EE2A4CA67B054BBFD3315BF85230577")]
    [InlineData(5, "DF6A301E95C95DAD97AE0CC8C6913BD8")]
    public void It_is_SipHash_2_4_of_128_bits(int words, string expected)
    {
        var digest = new Digest128(0x0706050403020100, 0x0f0e0d0c0b0a0908);
        for (var i = 0UL; i < (ulong)words; i++)
        {
            digest.Add(0x0706050403020100 + (i * 0x0808080808080808));
        }

        var bytes = new byte[16];
        System.Buffers.Binary.BinaryPrimitives.WriteUInt128LittleEndian(bytes, digest.Finish());
        Assert.Equal(expected, Convert.ToHexString(bytes));
    }

    [Fact]
    public void Digests_in_a_log_mean_the_same_in_every_release() =>
        Assert.Equal("643A0465F8818B444A96E2A3C8D3E4DB", Digest128.Of(Command.Put(B("key"), B("value"), 300)).ToString("X32"));

    [Fact]
    public void Names_of_keys_mean_the_same_in_every_release() =>
        Assert.Equal("66ADF2F0B297D0C55542DD89C26DAF81", Digest128.OfKey(new Slot(0x3C87), B("id")).ToString("X32"));

    [Fact]
    public void Every_part_of_a_command_counts_and_what_makes_it_happen_once_does_not()
    {
        var version = new Version(1, 0, 7, 0);
        Command[] commands =
        [
            Command.Put(B("k"), B("v")), Command.Put(B("k"), B("v"), 1), Command.Put(B("k"), B("w")), Command.Put(B("kv"), default),
            Command.Put(B("k"), B("v\0")), Command.PutIfAbsent(B("k"), B("v")), Command.Delete(B("k")), Command.Increment(B("k"), 1), Command.Increment(B("k"), 2),
            Command.CompareAndSwap(B("k"), version, B("v")), Command.CompareAndSwap(B("k"), version with { Sub = 1 }, B("v")),
            Command.CompareAndSwap(B("k"), version with { SlotEpoch = 2 }, B("v")), Command.CompareAndDelete(B("k"), version),
            Command.Put(B("k"), B("12345678")), Command.Put(B("k"), B("123456789")), Command.Put(B("k"), new byte[100_000]), Command.Put(B("k"), new byte[100_001]),
        ];
        Assert.Equal(commands.Length, commands.Select(c => Digest128.Of(in c)).Distinct().Count());
        Assert.Equal(Digest128.Of(in commands[0]), Digest128.Of(commands[0] with { Once = new Once.InSession(new SessionId(new LogIndex(1), 0), 1, 1) }));
    }
}

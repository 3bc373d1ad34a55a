using System.Text;

namespace Flotilla.Topology.Tests;

public sealed class SlotTests
{
    [Theory]
    [InlineData("123456789", 12739)]
    [InlineData("foo", 12182)]
    [InlineData("bar", 5061)]
    [InlineData("hello", 866)]
    [InlineData("", 0)]
    public void A_key_has_the_slot_that_Redis_Cluster_gives_it(string key, int slot) =>
        Assert.Equal(slot, Of(key).Value);

    [Theory]
    [InlineData("{user1000}.following", "user1000")]
    [InlineData("{user1000}.followers", "user1000")]
    [InlineData("foo{bar}", "bar")]
    [InlineData("foo{{bar}}zap", "{bar")]
    [InlineData("foo{bar}{zap}", "bar")]
    public void A_hash_tag_alone_decides_the_slot(string key, string tag) => Assert.Equal(Of(tag), Of(key));

    [Theory]
    [InlineData("foo{}{bar}")]
    [InlineData("{}foo")]
    [InlineData("foo{bar")]
    [InlineData("foo}bar{")]
    [InlineData("}{")]
    public void A_key_without_a_closed_and_filled_first_tag_is_hashed_whole(string key) =>
        Assert.Equal(Crc16.Compute(Encoding.UTF8.GetBytes(key)) % Slot.Count, Of(key).Value);

    [Fact]
    public void The_checksums_give_their_catalogued_check_values()
    {
        Assert.Equal(0x31C3, Crc16.Compute("123456789"u8));
        Assert.Equal(0xCBF43926u, Crc32.Compute("123456789"u8));
        Assert.Equal(0u, Crc32.Compute([]));
    }

    [Fact]
    public void Any_bytes_are_a_key_and_all_slots_are_met()
    {
        var met = new HashSet<Slot>();
        var key = new byte[4];
        for (var i = 0; i < 400_000; i++)
        {
            System.Buffers.Binary.BinaryPrimitives.WriteInt32LittleEndian(key, i * 7919);
            met.Add(Slot.Of(key));
        }

        Assert.Equal(Slot.Count, met.Count);
        Assert.All(met, s => Assert.InRange(s.Value, 0, Slot.Count - 1));
    }

    private static Slot Of(string key) => Slot.Of(Encoding.UTF8.GetBytes(key));
}

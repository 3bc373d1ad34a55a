using System.Text;
using Flotilla.Client;

namespace Flotilla.Cli.Tests.Client;

public sealed class Key_slots
{
    [Theory]
    [InlineData("123456789", 0x31C3)]
    [InlineData("foo", 12182)]
    [InlineData("{user1000}.following", 3443)]
    [InlineData("{user1000}.followers", 3443)]
    public void Slots_are_those_of_redis_cluster(string key, int slot) => Assert.Equal(slot % KeySlot.Count, KeySlot.Of(Encoding.UTF8.GetBytes(key)));

    [Theory]
    [InlineData("foo{}{bar}")]
    [InlineData("foo{bar")]
    public void Without_a_whole_tag_the_whole_key_counts(string key) => Assert.NotEqual(KeySlot.Of("bar"u8), KeySlot.Of(Encoding.UTF8.GetBytes(key)));

    [Fact]
    public void The_client_and_the_engine_agree_about_every_key()
    {
        var random = new Random(5);
        Span<byte> key = stackalloc byte[40];
        for (var i = 0; i < 200_000; i++)
        {
            var some = key[..random.Next(1, key.Length)];
            random.NextBytes(some);

            // Braces are rare among random bytes, and they are what there is to disagree about.
            foreach (var brace in "{}{}"u8)
            {
                if (random.Next(2) == 0)
                {
                    some[random.Next(some.Length)] = brace;
                }
            }

            Assert.Equal(Flotilla.Topology.Slot.Of(some).Value, KeySlot.Of(some));
        }
    }

    [Fact]
    public void The_first_tag_counts() => Assert.Equal(KeySlot.Of("bar"u8), KeySlot.Of("foo{bar}{zap}"u8));
}

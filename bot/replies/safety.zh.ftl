# What a person is told when the word policy refuses a prompt. Never quotes the rule or the words.
safety-minors = 无法生成：这里绝不允许涉及未成年人的性内容。请换个主题；没有扣除任何积分。
safety-adult = 本机器人不提供成人内容。请去掉裸露或性相关的描述再试一次；没有扣除任何积分。
safety-blocked = 机器人的管理员不允许这段提示词中的部分内容。请换个说法，或联系管理员；没有扣除任何积分。
